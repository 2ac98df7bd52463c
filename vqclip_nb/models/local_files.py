"""Local files: checks files that a user names, with clear errors."""

from __future__ import annotations

import os
from pathlib import Path

from vqclip_nb.models.errors import CannotFetch
from vqclip_nb.paths import expand_home
from vqclip_nb.schema import closest


def existing_file(source: str, what: str = "file") -> Path:
    """The path of an existing file. Raises `CannotFetch` that says what exists instead."""
    path = expand_home(source)
    if path.is_file():
        return path
    if path.is_dir():
        raise CannotFetch(f"{source!r} is a folder; name the {what} in it")
    folder = path.parent
    if not folder.is_dir():
        raise CannotFetch(f"there is no {what} {source!r}, and no folder {str(folder)!r}")
    try:
        near = closest(path.name, [name for name in os.listdir(folder) if (folder / name).is_file()])
    except OSError:
        near = ""
    raise CannotFetch(f"there is no {what} {source!r}{near}")


WEB_PAGE, POINTER = "a web page", "a Git LFS pointer"
REMEDIES = {
    WEB_PAGE: "open its address in a browser, and save the file itself",
    POINTER: "run `git lfs pull` where it was cloned, or save the file itself from its page",
}


def wrong_content(head: bytes) -> str | None:
    """What a host sent instead of the file, by its first bytes: WEB_PAGE, POINTER, or None if it may be the file."""
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return WEB_PAGE
    return POINTER if head.startswith(b"version https://git-lfs") else None
