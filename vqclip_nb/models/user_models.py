"""The user's own models: added to the catalog only after they were downloaded and loaded once."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vqclip_nb.models import catalog, download
from vqclip_nb.models.catalog import Entry, Source
from vqclip_nb.models.errors import BrokenWeights, CannotFetch
from vqclip_nb.models.local_files import existing_file

MARK = ".adding"  # a file in a model's folder, locked by the process that adds it


def new_entry(kind: str, name: str, weights: str, config: Mapping[str, Any] | None = None) -> Entry:
    """Make an entry for a model with weights at a path or address. Nothing is written yet.

    Raises `ValueError` for an invalid or taken name, `CannotFetch` for a path without a file.
    """
    if not name or any(not (c.isalnum() or c in "-_.") for c in name) or name.startswith("."):
        raise ValueError(f"name must be letters, digits, '-', '_' and '.', got {name!r}")
    address = weights if "://" in weights else str(existing_file(weights).resolve())
    file = Path(weights.partition("?")[0]).name or "weights.ckpt"
    if file in (catalog.ADDED, catalog.STRIPPED) or file.startswith((".", "tmp")):  # reserved names
        file = f"weights-{file}"
    own = dict(config) if config else None
    entry = Entry(kind, name, "your own", "yours to know", config=own, sources=(Source(file, (address,)),), added=True)
    known = catalog.entries(kind)
    others = [other for other in known if name in (other.name, *other.aliases) or entry.folder == other.folder]
    if others:
        other = others[0]
        remedy = f"`vqclip models remove {other.full_name}` frees it" if other.added else "a model of the list has it"
        raise ValueError(f"name must be a new one, and {name!r} is taken; {remedy}")
    return entry


def add(entry: Entry, fetch: Callable[[Entry], Any], load: Callable[[Entry], Any]) -> Entry:
    """Download a model's file, load it once, and add its entry with size and sha256; returns the entry.

    If that fails, no entry is added and the files are deleted: at once, or by `clear_leftovers` if the process was
    killed. Until then a partial download is kept, and the same call resumes it.
    """
    import pooch

    with _lock(entry):
        _clear(entry.folder, keep_parts=True)
        try:
            fetch(entry)
            try:
                load(entry)
            except BrokenWeights as error:
                raise BrokenWeights(f"{entry.full_name} was not added: {error.__cause__ or error}") from None
            path = download.published_file(entry)
            if path is None:
                raise CannotFetch(f"{entry.full_name} was not added: its file went away meanwhile")
            source = dataclasses.replace(entry.sources[0], sha256=pooch.file_hash(str(path)), size=path.stat().st_size)
            whole = dataclasses.replace(entry, sources=(source,))
            catalog.save(whole)
        except BaseException as error:
            _clear(entry.folder, keep_parts=isinstance(error, CannotFetch | KeyboardInterrupt))
            raise
    return whole


def clear_leftovers(but: str | None = None) -> None:
    """Delete the files of processes that were killed while adding a model; `but` is a name to skip."""
    from filelock import FileLock, Timeout

    for mark in sorted(catalog.home().glob(f"*/*/{MARK}")):
        folder = mark.parent
        if folder.name == but:
            continue
        try:
            with FileLock(mark).acquire(timeout=0):
                if not (folder / catalog.ADDED).is_file():
                    _clear(folder)
            _unmark(mark)
        except (Timeout, OSError):  # being added right now, or not deletable
            continue


@contextmanager
def _lock(entry: Entry) -> Iterator[None]:
    from filelock import FileLock, Timeout

    entry.folder.mkdir(parents=True, exist_ok=True)
    mark = entry.folder / MARK
    try:
        guard = FileLock(mark).acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process is adding {entry.full_name}; wait for it, or take another name") from None
    try:
        with guard:
            yield
    finally:
        _unmark(mark)


def _unmark(mark: Path) -> None:
    """Delete the mark of a folder; delete the folder if it is then empty."""
    mark.unlink(missing_ok=True)
    if not any(mark.parent.iterdir()):
        mark.parent.rmdir()
    elif not (mark.parent / catalog.ADDED).is_file():
        mark.touch()


def _clear(folder: Path, *, keep_parts: bool = False) -> None:
    """Delete the content of a model's folder except the mark, and with `keep_parts` partial downloads."""
    for path in folder.iterdir():
        if path.name == MARK or (keep_parts and path.name.endswith(".part") and path.stat().st_size):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
