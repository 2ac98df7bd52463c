"""Founding: how a run's folder begins, with a name that is legal everywhere, whole or not there."""

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vqclip_nb import images, prompts
from vqclip_nb.errors import RunError
from vqclip_nb.paths import expanded
from vqclip_nb.runs import metadata
from vqclip_nb.safe_files import kind, write
from vqclip_nb.timeline import Edit

UNFINISHED = ".part"  # ends the name of a folder that is not whole yet, or not whole any more


def identity(values: Mapping[str, Any]) -> str:
    """What a run is known by: a digest of what settings.json says of its first step, its parent and its beginning.

    The same for a run that was moved, renamed or copied; not for one of other words, another size or a branch.
    """
    founded = {name: values.get(name) for name in ("settings", "parent", "begun")}
    return hashlib.sha256(json.dumps(founded, sort_keys=True).encode()).hexdigest()[:32]


def check_out(out: str) -> None:
    """Raise RunError when no folder could be made under `out`. Makes nothing."""
    folder = expanded(out)
    nearest = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not nearest.is_dir():
        raise unwritable(out, f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise unwritable(out, f"{nearest} may not be written to")


def slug(prompt: str) -> str:
    """A prompt's first text as part of a file's name, legal everywhere: `a-red-house-by-the-sea`."""
    texts = prompts.parse(prompt)
    plain = unicodedata.normalize("NFKD", texts[0].text if texts else "").encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    kept = [word for index, word in enumerate(words) if len("-".join(words[: index + 1])) <= 40]
    return "-".join(kept) or "picture"


def given_files(
    recipes: Sequence[Mapping[str, Any]], inputs: Path | None, *, known: Mapping[str, str] = {}
) -> dict[str, tuple[str, bytes]]:
    """The suffix and the bytes of each picture that recipes give, by name; but not of those that are `known`."""
    named = {name: field for recipe in recipes for name, field in metadata.given_pictures(recipe).items()}
    paths = {name: images.locate(name, field=of, inputs=inputs) for name, of in named.items() if name not in known}
    return {name: (path.suffix.lower() or ".img", path.read_bytes()) for name, path in paths.items()}


def replacements(
    changes: Sequence[Edit], inputs: Path | None, *, known: Mapping[str, str] = {}
) -> dict[str, tuple[str, bytes]]:
    """The suffix and the bytes of each picture that replaced the painted one, by name, as in `given_files`."""
    named = {change.image: change.file for change in changes if change.image and change.image not in known}
    pictures = {name: file or images.PictureFile.of(name, inputs=inputs) for name, file in named.items()}
    return {name: (file.suffix, file.data) for name, file in pictures.items()}


def written(changes: Sequence[Edit], digests: Mapping[str, str]) -> list[dict[str, Any]]:
    """Changes as they are written, given pictures named by hash."""
    return [{**each.to_dict(), "settings": metadata.unnamed(each.settings, digests)} for each in changes]


def lines_of(changes: Sequence[Edit], digests: Mapping[str, str]) -> bytes:
    """Changes as timeline.jsonl holds them."""
    return "".join(json.dumps(told, ensure_ascii=False) + "\n" for told in written(changes, digests)).encode()


def make_folder(out: Path, name: str, founding: Mapping[str, bytes]) -> Path:
    """A folder of this name with these files, whole or not there; with a number behind it where the name is taken.

    Several processes may do so at once. Raises OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    unfinished = _first(out, f".{name}-{os.getpid()}", UNFINISHED, lambda path: path.mkdir())
    try:
        (unfinished / "frames").mkdir()
        for file, data in founding.items():
            (unfinished / file).parent.mkdir(exist_ok=True)
            write(unfinished / file, data)
        return _first(out, name, "", unfinished.rename)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _first(out: Path, name: str, suffix: str, make: Callable[[Path], object]) -> Path:
    """The first path that is free, `name`, `name-2`, …, after `make` took it. Raises OSError."""
    for number in itertools.count(1):
        path = out / f"{name if number == 1 else f'{name}-{number}'}{suffix}"
        try:
            if kind(path) is None:
                make(path)
                return path
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) or kind(path) is None:
                raise
    raise AssertionError("numbers do not end")


def unwritable(out: str, reason: str) -> RunError:
    """The error for a folder that cannot be written to."""
    return RunError(f"out must be a folder that can be written to, got {out!r}: {reason}; choose another with --out")
