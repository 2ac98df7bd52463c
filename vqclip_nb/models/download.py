"""Download: fetches a file and verifies it; resumes partial downloads, and tries several addresses."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqclip_nb.errors import PaintWarning
from vqclip_nb.models import catalog
from vqclip_nb.models.catalog import Entry, Source
from vqclip_nb.models.errors import CannotFetch
from vqclip_nb.models.local_files import existing_file
from vqclip_nb.models.transfer import Patience, Progress, Refused, Report, TooSlow, Transfer, short
from vqclip_nb.paths import expand_home

LARGEST_CONFIG = 1_000_000  # bytes
COLAB_DRIVE = Path("/content/drive/MyDrive/vqclip")


def fetch(entry: Entry, *, report: Report | None = None, patience: Patience | None = None) -> Path:
    """The published file of a model, which is downloaded unless it is on the disk.

    The second home is tried first, then the addresses of each source in order; the file gets its name only when size
    and sha256 are right. The next call resumes an interrupted download. Without a `report`, downloads and notes are
    PaintWarnings. Raises `CannotFetch` with the failure of each address.
    """
    if entry.packaged:
        return entry.files()[0]
    if path := published_file(entry):
        return path
    if not entry.alive:
        remedy = f"`vqclip models add {entry.name}-mine --config FILE --weights FILE`"
        raise CannotFetch(
            f"no address of {entry.full_name} was reported alive; enter its files, if you have them, with {remedy}"
        )

    if report is None and any("://" in address for source in entry.sources for address in source.addresses):
        size = f"{entry.size / 1e6:,.0f} MB, " if entry.size else ""
        warnings.warn(f"fetching {entry.full_name} once ({size}into {entry.folder})", PaintWarning, stacklevel=2)
    tell = report or _warn
    entry.folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(entry, tell):
        return published_file(entry) or _from_anywhere(entry, tell, patience or Patience())


def second_home() -> Path | None:
    """A lasting copy of the cache folder: `VQCLIP_SECOND_HOME`, or `vqclip` in Colab's Drive; None if there is none."""
    if path := os.environ.get("VQCLIP_SECOND_HOME"):
        return expand_home(path)
    return COLAB_DRIVE if COLAB_DRIVE.is_dir() else None


@contextmanager
def open_source(source: str, *, most: int = LARGEST_CONFIG) -> Iterator[Path]:
    """A small file, such as a config, by path or address, to be read inside the `with`. Raises `CannotFetch`.

    most: the largest download, in bytes.
    """
    if "://" not in source:
        yield existing_file(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        if os.environ.get("VQCLIP_OFFLINE"):
            raise CannotFetch(f"{source} cannot be fetched while VQCLIP_OFFLINE is set; unset it, or give a path")
        try:
            Transfer(source, part, None, lambda progress: None, Patience(), most=most).fill(source)
        except Refused as why:
            raise CannotFetch(f"{source} {why}; give another address or a path") from None
        yield part


def published_file(entry: Entry) -> Path | None:
    """The published file of a model, if it is on the disk."""
    return next((path for path in entry.files() if path != entry.stripped), None)


def _warn(progress: Progress) -> None:
    """The default report: notes become warnings."""
    if progress.note:
        warnings.warn(progress.note, PaintWarning, stacklevel=2)


def _from_anywhere(entry: Entry, tell: Report, patience: Patience) -> Path:
    failures: list[str] = []
    slow: list[tuple[Source, str]] = []
    attempts = [(source, address) for source in entry.sources for address in _places(entry, source)]

    def attempt(source: Source, address: str, patience: Patience) -> Path | None:
        try:
            return _from_address(entry, source, address, tell, patience)
        except Refused as why:
            if isinstance(why, TooSlow):
                slow.append((source, address))
            failures.append(f"{short(address)} {why}")
            if (source, address) != attempts[-1]:
                tell(Progress(entry.name, note=f"{failures[-1]}, trying the next address"))
            return None

    for source, address in attempts:
        if path := attempt(source, address, patience):
            return path
    for source, address in slow.copy():  # no fast address worked: accept slow ones
        if path := attempt(
            source, address, dataclasses.replace(patience, bytes_per_second=patience.last_bytes_per_second)
        ):
            return path

    remedy = f"put the file at {entry.folder / entry.sources[0].file}"
    if not failures:
        get = f"unset it and get the model by `vqclip models get {entry.full_name}`"
        raise CannotFetch(f"{entry.full_name} is not on the disk and VQCLIP_OFFLINE is set; {get}, or {remedy}")
    problem = f"{entry.full_name} could not be fetched: {'; '.join(failures)}"
    if not any("://" in address for _, address in attempts):
        raise CannotFetch(f"{problem}. Put it back there, or {remedy}")
    if all(failure.endswith("instead of the file") for failure in failures):
        raise CannotFetch(f"{problem}. Open the address in a browser, save the file that it offers, and {remedy}")
    again = f"try again later by `vqclip models get {entry.full_name}` (what was fetched is kept)"
    raise CannotFetch(f"{problem}; {again}, or {remedy}")


def _places(entry: Entry, source: Source) -> Iterator[str]:
    if (folder := second_home()) is not None:
        copy = folder / entry.folder.relative_to(catalog.home()) / source.file
        if copy.is_file():
            yield str(copy)
    offline = bool(os.environ.get("VQCLIP_OFFLINE"))
    yield from (address for address in source.addresses if not (offline and "://" in address))


def _from_address(entry: Entry, source: Source, address: str, tell: Report, patience: Patience) -> Path:
    import pooch

    # Without a known hash, parts from different addresses must not be mixed.
    mark = "" if source.sha256 else f".{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    part = entry.folder / f"{source.file}{mark}.part"
    _adopt(entry.folder, part, source.size)
    is_resumed = part.exists()
    download = Transfer(entry.name, part, source.size, tell, patience)
    try:
        with _quiet(pooch.get_logger()):
            expected_hash = f"sha256:{source.sha256}" if source.sha256 else None
            path = pooch.retrieve(address, expected_hash, fname=source.file, path=entry.folder, downloader=download)
    except ValueError:
        if is_resumed:  # the old part may have been wrong: start again
            return _from_address(entry, source, address, tell, patience)
        raise Refused("sent other bytes than the published ones (their sha256 differs)") from None
    if source.sha256 is None:
        sha256 = pooch.file_hash(path)
        if entry.added and (entry.folder / catalog.ADDED).is_file():
            size = Path(path).stat().st_size
            catalog.save(dataclasses.replace(entry, sources=(dataclasses.replace(source, sha256=sha256, size=size),)))
        elif not entry.added:
            message = f"the sha256 of {entry.full_name} was never published; this file's is {sha256}"
            tell(Progress(entry.name, note=message))
    return Path(path)


def _adopt(folder: Path, part: Path, size: int | None) -> None:
    """Reuse pooch's temporary file of a process that was killed while it verified a complete download."""
    for stray in folder.glob("tmp*"):
        if size is not None and stray.stat().st_size == size and not part.exists():
            os.replace(stray, part)
        else:
            stray.unlink()


@contextmanager
def lock_folder(entry: Entry, tell: Report) -> Iterator[None]:
    """Lock a model's folder for this process; the lock of a killed process is free."""
    from filelock import FileLock, Timeout

    lock = FileLock(entry.folder / ".lock")
    try:
        guard = lock.acquire(timeout=0)
    except Timeout:
        tell(Progress(entry.name, note=f"another process is at {entry.full_name}, waiting for it"))
        guard = lock.acquire()
    with guard:
        yield


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
