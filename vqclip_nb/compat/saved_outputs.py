"""Saved outputs: the paths of a run's copies, saved in its folder, so that a resumed run writes them again.

A run's folder may come from a stranger. So copies are written only to paths where no file exists, or where this run's
own picture is. All of them must be in that picture's folder and begin with its name.
"""

import json
import math
import os
import re
import warnings
from pathlib import Path
from typing import Any

from vqclip_nb import embedded
from vqclip_nb.compat.plan import Outputs
from vqclip_nb.errors import PaintWarning, PictureError
from vqclip_nb.paths import expand_home
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.safe_files import kind, read, write

FILE = "copies.json"
MOST_BYTES = 1 << 16
_FILMS = (".mp4", ".gif")
_PATTERN = re.compile(r"([^{}]|{{|}})*{(:06)?}([^{}]|{{|}})*")
_COUNTS = ("every", "after", "first_number")


def save(outputs: Outputs, folder: Path) -> None:
    """Save the paths of a run's copies in its folder. Raises OSError."""
    picture = expand_home(outputs.picture).absolute()
    try:
        folder_name = os.path.relpath(picture.parent, folder.absolute())
    except ValueError:  # on another drive
        folder_name = str(picture.parent)
    values = {
        "folder": Path(folder_name).as_posix(),
        "picture": picture.name,
        "numbered": Path(outputs.numbered).name,
        "best": outputs.best.name if outputs.best else "",
        "films": [path.name for path in outputs.films],
        "seconds": outputs.seconds,
        **{name: getattr(outputs, name) for name in _COUNTS},
    }
    write(folder / FILE, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def load(info: RunInfo) -> Outputs | None:
    """The paths of a run's copies, or None if it has none. If they cannot be written: None, and a PaintWarning."""
    path = info.folder / FILE
    if kind(path) is None:
        return None
    try:
        outputs = _read(json.loads(read(path, most=MOST_BYTES)), info.folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _cannot_load(f"{str(path)!r} cannot be read")
    picture = outputs.picture
    if not picture.parent.is_dir():
        return _cannot_load(f"the folder {str(picture.parent)!r}, where the picture was written, does not exist")
    if kind(picture) is None:
        if existing := _others(outputs):
            return _cannot_load(f"{str(existing)!r} exists without this run's picture, and is not overwritten")
    elif not _belongs_to(info, picture):
        return _cannot_load(f"{str(picture)!r} is no longer this run's picture, and is not overwritten")
    return outputs


def _others(outputs: Outputs) -> Path | None:
    """A file that the copies would overwrite, if the picture that shows its run is missing; None without one."""
    picture = outputs.picture
    stem, numbers = picture.name.partition(".")[0], bool(outputs.numbered)
    alike = (path for path in picture.parent.iterdir() if path.suffix == picture.suffix and path.name.startswith(stem))
    paths = [path for path in (*outputs.films, outputs.best) if path and kind(path) is not None]
    return next(iter([*paths, *(alike if numbers else ())]), None)


def _cannot_load(reason: str) -> Outputs | None:
    """Warn, and return None."""
    warnings.warn(f"{reason}; the picture is only in the run's folder", PaintWarning, stacklevel=3)
    return None


def _belongs_to(info: RunInfo, picture: Path) -> bool:
    """Whether this run painted a picture, by its metadata."""
    try:
        return kind(picture) == "a file" and embedded.read(picture)["settings"] == _plain(info.settings.to_dict())
    except PictureError:
        return False


def _plain(values: Any) -> Any:
    return json.loads(json.dumps(values))


def _read(values: dict[str, Any], run: Path) -> Outputs:
    """Parse the JSON that `save` wrote. Raises ValueError, TypeError, KeyError or AttributeError for anything else."""
    target = Path(os.path.normpath(run.absolute() / values["folder"]))
    target = target.relative_to(cwd) if target.is_relative_to(cwd := Path.cwd()) else target
    picture, counts = _name(values["picture"], tuple(embedded.FORMATS)), {name: values[name] for name in _COUNTS}
    stem = picture.partition(".")[0]
    if (numbered := values["numbered"]) and not _PATTERN.fullmatch(numbered):
        raise ValueError(f"{numbered!r} is not a pattern of names")
    for other in filter(None, (numbered.format(0), values["best"])):
        _name(other, (Path(picture).suffix,), stem)
    films = [_name(film, _FILMS, stem) for film in values["films"]]
    seconds = values["seconds"]
    if seconds is not None and not 0 < float(seconds) < math.inf:
        raise ValueError("seconds must be a film's length")
    if any(type(count) is not int or count < 0 for count in counts.values()):
        raise ValueError("a count is not a whole number")
    return Outputs(
        target / picture,
        numbered=str(_escape_braces(target) / numbered) if numbered else "",
        best=target / values["best"] if values["best"] else None,
        films=tuple(target / film for film in films),
        seconds=seconds,
        **counts,
    )


def _escape_braces(folder: Path) -> Path:
    return Path(str(folder).replace("{", "{{").replace("}", "}}"))


def _name(name: str, ends: tuple[str, ...], stem: str = "") -> str:
    """Return a file name without a folder that ends in one of `ends` and begins with `stem`, or raise ValueError."""
    if Path(name).name != name or "\\" in name or not name.startswith(stem) or Path(name).suffix.lower() not in ends:
        raise ValueError(f"{name!r} is not a valid name of a copy")
    return name
