"""Places: where the copies of a run go, kept in its folder, so that they are written again when it is resumed.

A run's folder may be anybody's. So the copies that it names are written only where nothing is, or where this run's own
picture is, and all of them lie beside that picture, under its name.
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
from vqclip_nb.paths import expanded
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.safe_files import kind, read, write

FILE = "copies.json"
MOST_BYTES = 1 << 16
_FILMS = (".mp4", ".gif")
_PATTERN = re.compile(r"([^{}]|{{|}})*{(:06)?}([^{}]|{{|}})*")
_COUNTS = ("every", "after", "first_number")


def keep(outputs: Outputs, folder: Path) -> None:
    """Write down in a run's folder where its copies go. Raises OSError."""
    picture = expanded(outputs.picture).absolute()
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


def kept(info: RunInfo) -> Outputs | None:
    """Where the copies of a run go, or None where it has none, or they cannot be written; that is a PaintWarning."""
    path = info.folder / FILE
    if kind(path) is None:
        return None
    try:
        outputs = _read(json.loads(read(path, most=MOST_BYTES)), info.folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _said(f"{str(path)!r} cannot be read")
    picture = outputs.picture
    if not picture.parent.is_dir():
        return _said(f"the folder {str(picture.parent)!r}, where the picture was written, is not there")
    if kind(picture) is None:
        if existing := _others(outputs):
            return _said(f"{str(existing)!r} is there without the picture of this run, and stays as it is")
    elif not _is_of(info, picture):
        return _said(f"{str(picture)!r} is not the picture of this run any more, and stays as it is")
    return outputs


def _others(outputs: Outputs) -> Path | None:
    """A file that would be written over although the picture, which would say whose it is, is not there."""
    picture = outputs.picture
    stem, numbers = picture.name.partition(".")[0], bool(outputs.numbered)
    alike = (path for path in picture.parent.iterdir() if path.suffix == picture.suffix and path.name.startswith(stem))
    paths = [path for path in (*outputs.films, outputs.best) if path and kind(path) is not None]
    return next(iter([*paths, *(alike if numbers else ())]), None)


def _said(reason: str) -> Outputs | None:
    """None, after a warning."""
    warnings.warn(f"{reason}; the picture goes into the run's folder alone", PaintWarning, stacklevel=3)
    return None


def _is_of(info: RunInfo, picture: Path) -> bool:
    """Whether a picture says that this run painted it."""
    try:
        return kind(picture) == "a file" and embedded.read(picture)["settings"] == _plain(info.settings.to_dict())
    except PictureError:
        return False


def _plain(values: Any) -> Any:
    return json.loads(json.dumps(values))


def _read(values: dict[str, Any], run: Path) -> Outputs:
    """What `keep` wrote. Raises ValueError, TypeError, KeyError or AttributeError for anything else."""
    target = Path(os.path.normpath(run.absolute() / values["folder"]))
    target = target.relative_to(cwd) if target.is_relative_to(cwd := Path.cwd()) else target
    picture, counts = _name(values["picture"], tuple(embedded.FORMATS)), {name: values[name] for name in _COUNTS}
    stem = picture.partition(".")[0]
    if (numbered := values["numbered"]) and not _PATTERN.fullmatch(numbered):
        raise ValueError(f"{numbered!r} is no pattern of names")
    for other in filter(None, (numbered.format(0), values["best"])):
        _name(other, (Path(picture).suffix,), stem)
    films = [_name(film, _FILMS, stem) for film in values["films"]]
    seconds = values["seconds"]
    if seconds is not None and not 0 < float(seconds) < math.inf:
        raise ValueError("seconds are no length of a film")
    if any(type(count) is not int or count < 0 for count in counts.values()):
        raise ValueError("a count is not a whole number")
    return Outputs(
        target / picture,
        numbered=str(_braced(target) / numbered) if numbered else "",
        best=target / values["best"] if values["best"] else None,
        films=tuple(target / film for film in films),
        seconds=seconds,
        **counts,
    )


def _braced(folder: Path) -> Path:
    return Path(str(folder).replace("{", "{{").replace("}", "}}"))


def _name(name: str, ends: tuple[str, ...], stem: str = "") -> str:
    """A file's name that has no folder in it, ends in one of `ends` and begins with `stem`. Raises ValueError."""
    if Path(name).name != name or "\\" in name or not name.startswith(stem) or Path(name).suffix.lower() not in ends:
        raise ValueError(f"{name!r} is no name of a copy")
    return name
