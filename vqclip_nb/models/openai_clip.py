"""OpenAI's CLIP and its tokenizer, from the openai-clip package without running its `__init__`.

That file needs `pkg_resources` and torchvision, which many environments lack. `model.py` and `simple_tokenizer.py`
import nothing of their package, so each is loaded from its file under a name of ours: `sys.modules["clip"]` is never
touched, and `import clip` in the same process still means the whole package.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from vqclip_nb.models.errors import BrokenWeights
from vqclip_nb.models.vqgan import Unfilled, fill

VOCABULARY = 49408  # tokens of the byte-pair encoding; the last one ends every text
METADATA = ("input_resolution", "context_length", "vocab_size")
MARKS = ("ln_final.weight",)
LARGEST = {"embed_dim": 8192, "context_length": 1024, "vocab_size": VOCABULARY, "transformer_width": 8192}
LARGEST |= {"transformer_heads": 128, "transformer_layers": 128, "vision_width": 8192, "vision_patch_size": 256}
LARGEST |= {"image_resolution": 4096, "vision_layers": 128}
TOKEN_ROWS, TOKEN_IDS = "token_embedding.weight", "token_ids"


def part(name: str) -> ModuleType:
    """The module `clip.<name>` of openai-clip, alone. Raises `ImportError` with the remedy when it is not installed."""
    ours = f"{__package__}._openai_clip_{name}"
    if ours in sys.modules:
        return sys.modules[ours]
    package = util.find_spec("clip")
    folders = package.submodule_search_locations if package else None
    path = Path(next(iter(folders)), f"{name}.py") if folders else None
    if path is None or not path.is_file():
        raise ImportError(f"openai-clip is needed and its clip/{name}.py was not found; run `pip install openai-clip`")
    spec = util.spec_from_file_location(ours, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported; reinstall openai-clip")
    module = util.module_from_spec(spec)
    sys.modules[ours] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[ours]
        raise
    return module


@cache
def tokenizer() -> Any:
    """CLIP's byte-pair tokenizer (`SimpleTokenizer`), shared: building it takes a second."""
    return part("simple_tokenizer").SimpleTokenizer()


def needed(key: str) -> str | None:
    """The name under which a checkpoint's tensor is used, or None when it is not."""
    return None if key in METADATA else key


def build(state: Mapping[str, Tensor]) -> nn.Module:
    """A frozen float32 CLIP in eval mode; hyper-parameters are inferred from the shapes, as in openai-clip.

    `known_tokens` is None, or the ids of the only tokens with an embedding in the file. Raises `BrokenWeights` when a
    tensor is missing.
    """
    token_ids = state[TOKEN_IDS].tolist() if TOKEN_IDS in state else None
    state = {key: value.float() if value.is_floating_point() else value for key, value in expand_clip(state).items()}
    CLIP = part("model").CLIP
    try:
        shape = _shape(state)
        _check(state, shape)
        with Unfilled():
            model = CLIP(**shape)
    except KeyError as error:
        layout = "; it is in the layout of Hugging Face's transformers" if _is_transformers(state) else ""
        message = f"the file holds no {error.args[0]}; it is not a CLIP in OpenAI's layout{layout}"
        raise BrokenWeights(message) from None
    except (LookupError, TypeError, ArithmeticError, RuntimeError, AssertionError) as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise BrokenWeights(f"its shapes make no CLIP: {message}") from None
    model.unexpected = fill(model, state)
    model.known_tokens = set(token_ids) if token_ids is not None else None
    return model


def _is_transformers(state: Mapping[str, Tensor]) -> bool:
    return any(key.startswith(("text_model.", "vision_model.")) for key in state)


def _check(state: Mapping[str, Tensor], shape: Mapping[str, Any]) -> None:
    """Raise `BrokenWeights` when shapes contradict each other, so that no network larger than the file is built."""
    for name, value in shape.items():
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and not 1 <= one <= LARGEST[name]:
                raise BrokenWeights(f"its shapes ask for a {name} of {one}, and 1 to {LARGEST[name]:,} is allowed")
    width, vision, embed = shape["transformer_width"], shape["vision_width"], shape["embed_dim"]
    sizes: dict[str, tuple[int, ...]] = {
        TOKEN_ROWS: (VOCABULARY, width),
        "positional_embedding": (shape["context_length"], width),
        "text_projection": (width, embed),
    }
    if patch := shape["vision_patch_size"]:
        positions = (shape["image_resolution"] // patch) ** 2 + 1
        sizes |= {
            "visual.conv1.weight": (vision, 3, patch, patch),
            "visual.positional_embedding": (positions, vision),
            "visual.proj": (vision, embed),
        }
    else:
        positions = (shape["image_resolution"] // 32) ** 2 + 1
        sizes |= {
            "visual.attnpool.positional_embedding": (positions, vision * 32),
            "visual.attnpool.c_proj.weight": (embed, vision * 32),
        }
    for key, size in sizes.items():
        if tuple(state[key].shape) != size:
            raise BrokenWeights(f"{key} is {tuple(state[key].shape)} in the file where {size} is asked")


def expand_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Expand a file that has embeddings of k tokens and their ids: all other tokens get zeros."""
    whole = dict(state)
    ids = whole.pop(TOKEN_IDS, None)
    if ids is not None:
        rows = whole[TOKEN_ROWS]
        whole[TOKEN_ROWS] = rows.new_zeros(VOCABULARY, rows.shape[1]).index_copy(0, ids.long(), rows)
    return whole


def _shape(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width = state["ln_final.weight"].shape[0]
    common = {
        "embed_dim": state["text_projection"].shape[1],
        "context_length": state["positional_embedding"].shape[0],
        "vocab_size": state[TOKEN_ROWS].shape[0],
        "transformer_width": width,
        "transformer_heads": width // 64,
        "transformer_layers": _count(state, "transformer.resblocks.", 2),
    }
    if "visual.proj" in state:
        patch = state["visual.conv1.weight"]
        grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        layers: int | tuple[int, ...] = _count(state, "visual.transformer.resblocks.", 3)
        size = {
            "vision_width": patch.shape[0],
            "vision_patch_size": patch.shape[-1],
            "image_resolution": patch.shape[-1] * grid,
        }
    else:
        grid = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
        layers = tuple(_count(state, f"visual.layer{stage}.", 2) for stage in (1, 2, 3, 4))
        stem = state["visual.layer1.0.conv1.weight"].shape[0]
        size = {"vision_width": stem, "vision_patch_size": None, "image_resolution": grid * 32}
    return {**common, **size, "vision_layers": layers}


def _count(state: Mapping[str, Tensor], prefix: str, index: int) -> int:
    """The number of different names at this index of the dotted keys with this prefix."""
    return len({key.split(".")[index] for key in state if key.startswith(prefix)})
