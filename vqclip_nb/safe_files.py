"""Safe files: read, write and delete files in a folder of unknown origin without following links."""

import os
import re
import stat
from pathlib import Path

from vqclip_nb.errors import RunError

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class InTheWay(OSError, RunError):
    """A link, device or other object exists where a plain file or folder is needed. The message says what."""


def kind(path: Path) -> str | None:
    """What exists at a path, links not followed: None, `a file`, `a folder`, or a description of anything else."""
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
    """Whether a folder on Windows is a junction, a link to another folder."""
    return os.path.realpath(path) != os.path.join(os.path.realpath(path.parent), path.name)


def need(path: Path, expected: str) -> None:
    """Raise InTheWay unless the path is free or holds what is expected, `a file` or `a folder`."""
    if (actual := kind(path)) not in (expected, None):
        raise InTheWay(f"{str(path)!r} must be {expected} of its own, and is {actual}; move it away")


def files(folder: Path, pattern: str = "*") -> list[Path]:
    """The plain files in a folder, by name; an empty list if the folder does not exist or is a link."""
    return sorted(filter(is_plain, folder.glob(pattern))) if kind(folder) == "a folder" else []


def is_plain(path: Path) -> bool:
    """Whether there is a plain file at this path, not a link to one."""
    return kind(path) == "a file"


def tree(folder: Path) -> list[Path]:
    """The plain files in a folder and its subfolders, by name. Links are not followed."""
    paths = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(filter(is_plain, paths))


def numbered_files(folder: Path, suffix: str) -> dict[int, Path]:
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
        if not stat.S_ISREG(facts.st_mode):  # it was exchanged in between
            raise InTheWay(f"{str(path)!r} must be a plain file; move it away")
        if most is not None and facts.st_size > most:
            raise InTheWay(f"{str(path)!r} has {facts.st_size:,} bytes, and may have {most:,}")
        return file.read()


def part(path: Path) -> Path:
    """The temporary name under which a file is written before it is moved to `path`. An older one is deleted."""
    temporary = path.with_name(f".{path.name}.part")
    for candidate in (path, temporary):
        if kind(candidate) == "a folder":
            need(candidate, "a file")
    temporary.unlink(missing_ok=True)  # deletes a link itself, not its target
    return temporary


def write(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file atomically: to a temporary file, which is then moved. With `sync` it is on the disk on return.

    Raises OSError. A link at `path` is replaced; its target is not changed.
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
