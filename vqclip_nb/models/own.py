"""A person's own models: entered under a name once they were fetched and have loaded, and not before."""

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
from vqclip_nb.models.given_files import existing

MARK = ".adding"  # a file in a model's folder, locked by the process that adds it


def described(kind: str, name: str, weights: str, config: Mapping[str, Any] | None = None) -> Entry:
    """An entry for a model whose weights are at a path or address; nothing is written yet.

    Raises `ValueError` for a name that is none or taken, `CannotFetch` for a path where no file is.
    """
    if not name or any(not (c.isalnum() or c in "-_.") for c in name) or name.startswith("."):
        raise ValueError(f"name must be letters, digits, '-', '_' and '.', got {name!r}")
    address = weights if "://" in weights else str(existing(weights).resolve())
    file = Path(weights.partition("?")[0]).name or "weights.ckpt"
    if file in (catalog.ADDED, catalog.STRIPPED) or file.startswith((".", "tmp")):  # names that mean something there
        file = f"weights-{file}"
    own = dict(config) if config else None
    entry = Entry(kind, name, "your own", "yours to know", config=own, sources=(Source(file, (address,)),), added=True)
    taken = (other for other in catalog.entries(kind) if name in (other.name, *other.aliases))
    if any(taken) or any(entry.folder == other.folder for other in catalog.entries(kind)):
        remedy = f"`vqclip models remove {kind}/{name}` frees your own"
        raise ValueError(f"name must be a new one, and {name!r} is taken; {remedy}")
    return entry


def add(entry: Entry, fetch: Callable[[Entry], Any], load: Callable[[Entry], Any]) -> Entry:
    """Fetch a described model's file, load it once, and enter it with its size and sha256; returns what was entered.

    When that fails, or the process is killed, no entry is there, and the files go: at once, or with `clear_leftovers`.
    What was fetched of a file stays until then, for the same call to go on with.
    """
    import pooch

    with _alone(entry):
        _clear(entry.folder, keep_parts=True)
        try:
            fetch(entry)
            try:
                load(entry)
            except BrokenWeights as wrong:
                raise BrokenWeights(f"{entry.full_name} was not added: {wrong.__cause__ or wrong}") from None
            path = download.published(entry)
            if path is None:
                raise CannotFetch(f"{entry.full_name} was not added: its file went away meanwhile")
            source = dataclasses.replace(entry.sources[0], sha256=pooch.file_hash(str(path)), size=path.stat().st_size)
            whole = dataclasses.replace(entry, sources=(source,))
            catalog.save(whole)
        except BaseException as wrong:
            _clear(entry.folder, keep_parts=isinstance(wrong, CannotFetch | KeyboardInterrupt))
            raise
    return whole


def clear_leftovers(but: str | None = None) -> None:
    """Delete what processes left that were killed while they added a model, of all names but one."""
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
        except (Timeout, OSError):  # it is being added, or is not ours to delete
            continue


@contextmanager
def _alone(entry: Entry) -> Iterator[None]:
    from filelock import FileLock, Timeout

    entry.folder.mkdir(parents=True, exist_ok=True)
    mark = entry.folder / MARK
    try:
        held = FileLock(mark).acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process is adding {entry.full_name}; wait for it, or take another name") from None
    try:
        with held:
            yield
    finally:
        _unmark(mark)


def _unmark(mark: Path) -> None:
    """Take the mark off a folder whose model was entered, and delete a folder that has nothing else."""
    mark.unlink(missing_ok=True)
    if not any(mark.parent.iterdir()):
        mark.parent.rmdir()
    elif not (mark.parent / catalog.ADDED).is_file():
        mark.touch()


def _clear(folder: Path, *, keep_parts: bool = False) -> None:
    """Delete what is in a model's folder but the mark of who adds it; the parts of a download may be gone on with."""
    for path in folder.iterdir():
        if path.name == MARK or (keep_parts and path.name.endswith(".part") and path.stat().st_size):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
