"""Creation of a run's folder, atomically and with a name that is legal on every system."""

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
from vqclip_nb.paths import expand_home
from vqclip_nb.runs import metadata
from vqclip_nb.safe_files import kind, write
from vqclip_nb.timeline import Edit

PART_SUFFIX = ".part"  # of a folder that is being created


def identity(values: Mapping[str, Any]) -> str:
    """An identifier of a run: a digest of the settings, the parent and the start time in settings.json.

    It does not change when the run is moved, renamed or copied. Runs with other settings, and branches, have others.
    """
    facts = {name: values.get(name) for name in ("settings", "parent", "begun")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def check_out(out: str) -> None:
    """Raise RunError when no folder can be created in `out`. Creates nothing."""
    folder = expand_home(out)
    nearest = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not nearest.is_dir():
        raise unwritable(out, f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise unwritable(out, f"{nearest} is not writable")


def slug(prompt: str) -> str:
    """A prompt's first text as part of a file name that every system allows, such as `a-red-house-by-the-sea`."""
    texts = prompts.parse(prompt)
    ascii_text = unicodedata.normalize("NFKD", texts[0].text if texts else "").encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_text.lower())
    first_words = [word for index, word in enumerate(words) if len("-".join(words[: index + 1])) <= 40]
    return "-".join(first_words) or "picture"


def input_files(
    settings: Sequence[Mapping[str, Any]], inputs: Path | None, *, skip: Mapping[str, str] = {}
) -> dict[str, tuple[str, bytes]]:
    """Read the input pictures that settings name, except those in `skip`.

    Returns the suffix and the content of each file, by the name in the settings. Raises PictureError.
    """
    fields = {name: field for values in settings for name, field in metadata.input_pictures(values).items()}
    names = [name for name in fields if name not in skip]
    paths = {name: images.locate(name, field=fields[name], inputs=inputs) for name in names}
    return {name: (path.suffix.lower() or ".img", path.read_bytes()) for name, path in paths.items()}


def replacements(
    changes: Sequence[Edit], inputs: Path | None, *, skip: Mapping[str, str] = {}
) -> dict[str, tuple[str, bytes]]:
    """Read the pictures with which edits replace the painted picture; returns them like `input_files`."""
    files = {change.image: change.file for change in changes if change.image and change.image not in skip}
    pictures = {name: file or images.PictureFile.of(name, inputs=inputs) for name, file in files.items()}
    return {name: (file.suffix, file.data) for name, file in pictures.items()}


def edits_to_dicts(changes: Sequence[Edit], digests: Mapping[str, str]) -> list[dict[str, Any]]:
    """Edits as JSON values, with each input picture named by its hash. digests: the hashes by name."""
    return [{**change.to_dict(), "settings": metadata.hash_names(change.settings, digests)} for change in changes]


def timeline_lines(changes: Sequence[Edit], digests: Mapping[str, str]) -> bytes:
    """The content of timeline.jsonl: a line of JSON for each edit."""
    return "".join(
        json.dumps(values, ensure_ascii=False) + "\n" for values in edits_to_dicts(changes, digests)
    ).encode()


def make_folder(out: Path, name: str, first_files: Mapping[str, bytes]) -> Path:
    """Create a folder with these files, atomically, and return its path; a number is appended if the name is taken.

    Several processes may call this at once. Raises OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    temporary = _create_numbered(out, f".{name}-{os.getpid()}", PART_SUFFIX, lambda path: path.mkdir())
    try:
        (temporary / "frames").mkdir()
        for file, data in first_files.items():
            (temporary / file).parent.mkdir(exist_ok=True)
            write(temporary / file, data)
        return _create_numbered(out, name, "", temporary.rename)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _create_numbered(out: Path, name: str, suffix: str, make: Callable[[Path], object]) -> Path:
    """Create the first of the paths `name`, `name-2`, … that does not exist with `make`; returns it. Raises OSError."""
    for number in itertools.count(1):
        path = out / f"{name if number == 1 else f'{name}-{number}'}{suffix}"
        try:
            if kind(path) is None:
                make(path)
                return path
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) or kind(path) is None:
                raise
    raise AssertionError("unreachable: itertools.count never ends")


def unwritable(out: str, reason: str) -> RunError:
    """The error for a folder that cannot be written to."""
    return RunError(f"out must be a folder that can be written to, got {out!r}: {reason}; choose another with --out")
