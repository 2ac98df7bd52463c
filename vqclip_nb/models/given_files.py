"""Files that a person gave, by a path that may be mistyped, or that are not what their name says."""

from __future__ import annotations

import os
from pathlib import Path

from vqclip_nb.models.errors import CannotFetch
from vqclip_nb.paths import expanded
from vqclip_nb.schema import closest


def existing(place: str, what: str = "file") -> Path:
    """The path of a file that is there. Raises `CannotFetch` that says what is there instead."""
    path = expanded(place)
    if path.is_file():
        return path
    if path.is_dir():
        raise CannotFetch(f"{place!r} is a folder; name the {what} in it")
    folder = path.parent
    if not folder.is_dir():
        raise CannotFetch(f"there is no {what} {place!r}, and no folder {str(folder)!r}")
    try:
        near = closest(path.name, [name for name in os.listdir(folder) if (folder / name).is_file()])
    except OSError:
        near = ""
    raise CannotFetch(f"there is no {what} {place!r}{near}")


WEB_PAGE, POINTER = "a web page", "a Git LFS pointer"
REMEDIES = {
    WEB_PAGE: "open its address in a browser, and save the file itself",
    POINTER: "run `git lfs pull` where it was cloned, or save the file itself from its page",
}


def mistaken(head: bytes) -> str | None:
    """What some hosts give in the place of a file, by how it begins; None where it may be the file."""
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return WEB_PAGE
    return POINTER if head.startswith(b"version https://git-lfs") else None
