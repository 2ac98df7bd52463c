"""Files of a folder that may be anybody's: no link in it is followed, neither to read, nor to write, nor to delete."""

import os
import re
import stat
from pathlib import Path

from vqclip_nb.errors import RunError

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class InTheWay(OSError, RunError):
    """Something other than a plain file or folder stands where one should be. Says what, in one line."""


def kind(path: Path) -> str | None:
    """What stands at a path, its own link not followed: None, `a file`, `a folder`, or in words what else it is."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"a link to {os.readlink(path)!r}"
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        return "a link" if os.name == "nt" and _is_junction(path) else "a folder"
    return "a file" if stat.S_ISREG(mode) else "a pipe, socket or device"


def _is_junction(path: Path) -> bool:
    """Whether a folder on Windows is really elsewhere."""
    return os.path.realpath(path) != os.path.join(os.path.realpath(path.parent), path.name)


def need(path: Path, expected: str) -> None:
    """Raise InTheWay when something else than `wanted`, `a file` or `a folder`, stands at this path."""
    if (actual := kind(path)) not in (expected, None):
        raise InTheWay(f"{str(path)!r} must be {expected} of its own, and is {actual}; move it away")


def files(folder: Path, pattern: str = "*") -> list[Path]:
    """The plain files in a subfolder, by name. None where the subfolder is not there, or is a link."""
    return sorted(filter(is_plain, folder.glob(pattern))) if kind(folder) == "a folder" else []


def is_plain(path: Path) -> bool:
    """Whether a plain file stands at this path, and not a link to one."""
    return kind(path) == "a file"


def tree(folder: Path) -> list[Path]:
    """The plain files in a folder and in the folders below it, by name; none through links."""
    paths = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(filter(is_plain, paths))


def numbered(folder: Path, suffix: str) -> dict[int, Path]:
    """The plain files named by a step, `000120.jpg`, in order."""
    exact = re.compile(r"(\d{6}|[1-9]\d{6,8})" + re.escape(suffix), re.ASCII)
    return {int(path.stem): path for path in files(folder) if exact.fullmatch(path.name)}


def read(path: Path, *, most: int | None = None) -> bytes:
    """The bytes of a plain file.

    Raises OSError; InTheWay for a link, a device, or a file of more than `most` bytes.
    """
    need(path, "a file")
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_LINK)
    with open(number, "rb") as file:
        facts = os.fstat(number)
        if not stat.S_ISREG(facts.st_mode):  # put there since
            raise InTheWay(f"{str(path)!r} must be a plain file; move it away")
        if most is not None and facts.st_size > most:
            raise InTheWay(f"{str(path)!r} has {facts.st_size:,} bytes, and may have {most:,}")
        return file.read()


def part(path: Path) -> Path:
    """The name under which a file is written before it is moved into its place; what stood there is gone."""
    temporary = path.with_name(f".{path.name}.part")
    for candidate in (path, temporary):
        if kind(candidate) == "a folder":
            need(candidate, "a file")
    temporary.unlink(missing_ok=True)  # the name alone: what a link points to stays
    return temporary


def write(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file whole or not at all: beside it first, then moved into its place; with `sync` it outlives a crash.

    Raises OSError. A link that stands in its place is replaced, and what it points to stays.
    """
    temporary = part(path)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666), "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
