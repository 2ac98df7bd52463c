"""Models of open_clip_torch (an extra): by its own names, from the Hugging Face hub, or from local files.

- `open_clip/ViT-B-32/laion2b_s34b_b79k`: a network and the tag of its weights
- `open_clip/hf-hub:org/name`: a repository of the hub
- `open_clip/ViT-B-32//home/me/tuned.pt`: a network and a file of weights
- `open_clip//home/me/folder`: a folder with an open_clip_config.json and weights
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from vqclip_nb.models.catalog import OPEN_CLIP, UnknownModel, home
from vqclip_nb.models.errors import BrokenWeights, CannotFetch
from vqclip_nb.models.local_files import existing_file
from vqclip_nb.paths import expand_home

HUB, FOLDER = "hf-hub:", "local-dir:"
CONFIG = "open_clip_config.json"
AS_IS = (".safetensors", ".npz", ".npy")  # formats that cannot hold code
COPIES = ".reading-"  # prefix of temporary folders with copies of weights
SUFFIXES = (*AS_IS, ".pt", ".pth", ".bin", ".ckpt")


def load_open_clip(name: str) -> tuple[Any, Any]:
    """The network and the tokenizer of such a name, on the CPU; downloads go into our cache folder.

    Raises `ImportError` without the extra, `UnknownModel` for a name that open_clip does not list, `CannotFetch`, and
    `BrokenWeights`.
    """
    model, tag, path = parse(name)
    if path is not None and not model:
        _check_folder(name, path)
    elif path is not None:
        path = existing_file(str(path))
    open_clip = _extra(name)
    cache_dir = str(home() / "open_clip")
    if path is not None and not model:
        return _make(open_clip, name, FOLDER + str(path), None, cache_dir)
    if not model.startswith(HUB):
        _check_names(open_clip, name, model, tag if path is None else None)
    if path is None:
        return _make(open_clip, name, model, tag, cache_dir)
    with _readable(path) as weights:
        return _make(open_clip, name, model, str(weights), cache_dir)


def parse(name: str) -> tuple[str, str | None, Path | None]:
    """The network or repository, the tag, and the path of a name. The network of a folder is in its config."""
    rest = name.removeprefix(OPEN_CLIP)
    if rest.startswith(HUB):
        return rest, None, None
    if rest.startswith(FOLDER) or _is_path(rest):
        return "", None, expand_home(rest.removeprefix(FOLDER))
    model, _, tag = rest.partition("/")
    return (model, None, expand_home(tag)) if _is_path(tag) or tag.lower().endswith(SUFFIXES) else (model, tag, None)


def local_sha256(name: str) -> str | None:
    """The hash of the local files of a name; None if it means no local files, or they are missing."""
    model, _, path = parse(name)
    if path is None:
        return None
    files = [path] if model else [path / CONFIG, *_weights_in(path)[:1]]
    try:
        digests = [_digest(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    except OSError:
        return None
    return digests[0] if model else hashlib.sha256("".join(digests).encode()).hexdigest()


@cache
def _digest(path: str, mtime: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~", ".\\", "..\\")) or text[1:3] in (":\\", ":/")


def _extra(name: str) -> Any:
    """The package open_clip. Raises ImportError with one line that says what to install."""
    if os.environ.get("VQCLIP_OFFLINE"):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when open_clip is imported
    try:
        import open_clip
    except Exception as error:  # a mismatched torchvision can raise any error
        if isinstance(error, ImportError) and error.name in ("open_clip", None) and "torchvision" not in str(error):
            raise ImportError(f"perceptor {name!r} needs another package: `pip install open_clip_torch`") from None
        if "torchvision" in str(error):
            problem = "needs a torchvision that fits torch, and this one does not"
            raise ImportError(f"perceptor {name!r} {problem}: `{torchvision_remedy()}`") from None
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImportError(f"perceptor {name!r} needs open_clip_torch, which cannot be imported ({first})") from None
    return open_clip


def torchvision_remedy() -> str:
    """The command that installs the torchvision for the installed torch: 0.29.1 for 2.14.1, and so on.

    A build of torch, such as `+cpu`, needs the same build of torchvision, which is at PyTorch's own address.
    """
    import torch

    release, plus, build = torch.__version__.partition("+")
    major, minor, *rest = release.split(".")
    if major != "2":
        return "pip install -U torch torchvision"
    pair = ".".join(["0", str(int(minor) + 15), *rest])
    source = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"pip install torch=={torch.__version__} torchvision=={pair}{plus}{build}{source}"


def _check_names(open_clip: Any, name: str, model: str, tag: str | None) -> None:
    """Raise `UnknownModel` with the closest names when open_clip lists no such network, or no such weights for it."""
    if tag is None:
        networks = open_clip.list_models()
        if model not in networks:
            near = difflib.get_close_matches(model, networks, n=3, cutoff=0)
            raise UnknownModel(f"there is no open_clip network {model!r}; the closest are {', '.join(near)}")
    elif (model, tag) not in open_clip.list_pretrained():
        tags = open_clip.list_pretrained_tags_by_model(model)
        near = difflib.get_close_matches(tag, tags, n=5, cutoff=0)
        closest = f"the closest of {model} are {', '.join(near)}"
        hint = closest if tags else "`open_clip.list_pretrained()` lists them"
        raise UnknownModel(f"there is no open_clip model {name!r} (open_clip/MODEL/PRETRAINED); {hint}")


def _check_folder(name: str, folder: Path) -> None:
    if folder.is_file():
        problem = f"say which network is in it: open_clip/ViT-B-32/{folder}, for instance"
        raise UnknownModel(f"perceptor {name!r} is a file of weights; {problem}")
    if not folder.is_dir():
        existing_file(str(folder), "folder")
    if not (folder / CONFIG).is_file():
        problem = f"has no {CONFIG}; name its file of weights and their network: open_clip/ViT-B-32/{folder}/FILE"
        raise UnknownModel(f"the folder {str(folder)!r} {problem}")
    weights = _weights_in(folder)
    if not weights:
        raise CannotFetch(f"the folder {str(folder)!r} has an {CONFIG} and no weights ({', '.join(SUFFIXES)})")


def _weights_in(folder: Path) -> list[Path]:
    """The files of weights in a folder, in open_clip's order of preference."""
    paths = sorted(path for ending in ("*.safetensors", "*.bin", "*.pth") for path in folder.glob(ending))
    order = [f"open_clip_{kind}" for kind in ("model.safetensors", "pytorch_model.safetensors")]
    order += ["open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"]
    order += ["model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"]
    rank = {name: index for index, name in enumerate(order)}
    return sorted(paths, key=lambda path: (rank.get(path.name, 99), path.suffix != ".safetensors"))


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """A file that open_clip can read without running code: the file itself, or a temporary copy of its tensors."""
    from vqclip_nb.models.checkpoints import read_weights, write_safetensors

    if path.suffix.lower() in AS_IS:
        yield path
        return
    tensors = read_weights(path, marks=("logit_scale",)).tensors
    home().mkdir(parents=True, exist_ok=True)
    for leftover in home().glob(f"{COPIES}*"):  # from killed processes
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=COPIES, dir=home()) as folder:
        copy = Path(folder) / "weights.safetensors"
        write_safetensors(copy, tensors, {})
        del tensors
        yield copy


@contextmanager
def _silence_logging() -> Iterator[None]:
    """Silence the logging of open_clip and the hub's client; errors are raised anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _make(open_clip: Any, name: str, model: str, tag: str | None, cache_dir: str) -> tuple[Any, Any]:
    own = parse(name)[2]
    try:
        with _silence_logging():
            network = open_clip.create_model(model, pretrained=tag, cache_dir=cache_dir, require_pretrained=True)
            return network, open_clip.get_tokenizer(model)  # SigLIP's tokenizer is downloaded too
    except ImportError as error:
        first = str(error).splitlines()[0] if str(error) else "a package"
        raise ImportError(f"perceptor {name!r} needs another package ({first}): `pip install transformers`") from None
    except Exception as error:  # open_clip also raises AssertionError and others
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        if own is not None:
            message = " ".join(lines[:2])[:300]
            raise BrokenWeights(f"{name} cannot be loaded: its weights do not fit ({message})") from None
        remedy = "VQCLIP_OFFLINE is set; unset it" if os.environ.get("VQCLIP_OFFLINE") else "try again later"
        raise CannotFetch(f"{name} could not be fetched ({lines[0][:300]}); {remedy}") from None
