"""Download: from an address to a checked file, resuming what was begun and falling through to the next address."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vqclip_nb.errors import PaintWarning
from vqclip_nb.models import catalog
from vqclip_nb.models.catalog import Entry, Source
from vqclip_nb.models.errors import CannotFetch
from vqclip_nb.models.given_files import existing, mistaken
from vqclip_nb.paths import expanded

CHUNK = 1 << 18
MOST_REQUESTS = 100  # of one address for one file
LARGEST_CONFIG = 1_000_000  # bytes
SPARE = 200_000_000  # bytes that a file of unknown length leaves free
SILENT = "fell silent"
ROOM = "Remove a model (`vqclip models`), or set VQCLIP_HOME to a folder on a larger disk"
COLAB_DRIVE = Path("/content/drive/MyDrive/vqclip")


@dataclass(frozen=True)
class Progress:
    """Where a download stands, in bytes; `note` is a sentence for the person when there is something to say."""

    name: str
    done: int = 0
    total: int | None = None
    note: str | None = None


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Patience:
    """How long an address may take: seconds to connect and between bytes; the slowest rate, while others are left and
    when none is."""

    connect: float = 10
    silence: float = 30
    bytes_per_second: float = 100_000
    window: float = 20
    last_bytes_per_second: float = 1_000


class Refused(Exception):
    """One address did not give the file, and why."""


class TooSlow(Refused):
    """An address gives the file, but others may be faster; it is asked again when they fail."""


def fetch(entry: Entry, *, report: Report | None = None, patience: Patience | None = None) -> Path:
    """The published file of a model, fetched unless it is on the disk already.

    Each source's addresses are tried in order, after the second home; the file gets its name only when size and sha256
    are right. An interrupted download is resumed by the next call. Without a `report` it is a PaintWarning that a file
    is fetched, and all that is noteworthy. Raises `CannotFetch` with what each address did.
    """
    if entry.packaged:
        return entry.files()[0]
    if found := published(entry):
        return found
    if not entry.alive:
        remedy = f"`vqclip models add {entry.name}-mine --config FILE --weights FILE`"
        raise CannotFetch(
            f"no address of {entry.full_name} was reported alive; enter its files, if you have them, with {remedy}"
        )

    if report is None and any("://" in address for source in entry.sources for address in source.addresses):
        size = f"{entry.size / 1e6:,.0f} MB, " if entry.size else ""
        warnings.warn(f"fetching {entry.full_name} once ({size}into {entry.folder})", PaintWarning, stacklevel=2)
    tell = report or _warned
    entry.folder.mkdir(parents=True, exist_ok=True)
    with alone(entry, tell):
        return published(entry) or _from_anywhere(entry, tell, patience or Patience())


def second_home() -> Path | None:
    """A folder laid out as the cache that outlives this machine: `VQCLIP_SECOND_HOME`, or `vqclip` in Colab's Drive."""
    if chosen := os.environ.get("VQCLIP_SECOND_HOME"):
        return expanded(chosen)
    return COLAB_DRIVE if COLAB_DRIVE.is_dir() else None


@contextmanager
def borrowed(place: str, *, most: int = LARGEST_CONFIG) -> Iterator[Path]:
    """A small file (a config) by path or address, to be read inside the `with`. Raises `CannotFetch`.

    most: bytes that an address may send.
    """
    if "://" not in place:
        yield existing(place)
        return
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        if os.environ.get("VQCLIP_OFFLINE"):
            raise CannotFetch(f"{place} cannot be fetched while VQCLIP_OFFLINE is set; unset it, or give a path")
        try:
            _Download(place, part, None, lambda progress: None, Patience(), most=most).fill(place)
        except Refused as why:
            raise CannotFetch(f"{place} {why}; give another address or a path") from None
        yield part


def published(entry: Entry) -> Path | None:
    """Its file as it was published, where that is on the disk."""
    return next((path for path in entry.files() if path != entry.stripped), None)


def _warned(progress: Progress) -> None:
    """What a person should know, said where nobody listens."""
    if progress.note:
        warnings.warn(progress.note, PaintWarning, stacklevel=2)


def _from_anywhere(entry: Entry, tell: Report, patience: Patience) -> Path:
    tried: list[str] = []
    slow: list[tuple[Source, str]] = []
    places = [(source, address) for source in entry.sources for address in _places(entry, source)]

    def attempt(source: Source, address: str, patience: Patience) -> Path | None:
        try:
            return _from_address(entry, source, address, tell, patience)
        except Refused as why:
            if isinstance(why, TooSlow):
                slow.append((source, address))
            tried.append(f"{_short(address)} {why}")
            if (source, address) != places[-1]:
                tell(Progress(entry.name, note=f"{tried[-1]}, trying the next address"))
            return None

    for source, address in places:
        if found := attempt(source, address, patience):
            return found
    for source, address in slow.copy():  # better slow than not at all
        if found := attempt(
            source, address, dataclasses.replace(patience, bytes_per_second=patience.last_bytes_per_second)
        ):
            return found

    place = f"put the file at {entry.folder / entry.sources[0].file}"
    if not tried:
        raise CannotFetch(f"{entry.full_name} is not on the disk and VQCLIP_OFFLINE is set; unset it, or {place}")
    said = f"{entry.full_name} could not be fetched: {'; '.join(tried)}"
    if not any("://" in address for _, address in places):
        raise CannotFetch(f"{said}. Put it back there, or {place}")
    if all(wrong.endswith("instead of the file") for wrong in tried):
        raise CannotFetch(f"{said}. Open the address in a browser, save the file that it offers, and {place}")
    raise CannotFetch(f"{said}. Try again later (what was fetched is kept), or {place}")


def _places(entry: Entry, source: Source) -> Iterator[str]:
    if (there := second_home()) is not None:
        copy = there / entry.folder.relative_to(catalog.home()) / source.file
        if copy.is_file():
            yield str(copy)
    offline = bool(os.environ.get("VQCLIP_OFFLINE"))
    yield from (address for address in source.addresses if not (offline and "://" in address))


def _from_address(entry: Entry, source: Source, address: str, tell: Report, patience: Patience) -> Path:
    import pooch

    # Parts of a file whose hash nobody knows are never mixed between addresses.
    mark = "" if source.sha256 else f".{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    part = entry.folder / f"{source.file}{mark}.part"
    _adopt(entry.folder, part, source.size)
    resumed = part.exists()
    download = _Download(entry.name, part, source.size, tell, patience)
    try:
        with _quiet(pooch.get_logger()):
            known = f"sha256:{source.sha256}" if source.sha256 else None
            path = pooch.retrieve(address, known, fname=source.file, path=entry.folder, downloader=download)
    except ValueError:
        if resumed:  # an older part may have been the wrong one: once more from the beginning
            return _from_address(entry, source, address, tell, patience)
        raise Refused("sent other bytes than the published ones (their sha256 differs)") from None
    if source.sha256 is None:
        sha256 = pooch.file_hash(path)
        if entry.added and (entry.folder / catalog.ADDED).is_file():
            size = Path(path).stat().st_size
            catalog.save(dataclasses.replace(entry, sources=(dataclasses.replace(source, sha256=sha256, size=size),)))
        elif not entry.added:
            said = f"the sha256 of {entry.full_name} was never published; this file's is {sha256}"
            tell(Progress(entry.name, note=said))
    return Path(path)


class _Download:
    """A pooch downloader that fills `part`, from wherever it stands, and hands it over when it has its size."""

    def __init__(
        self, name: str, part: Path, size: int | None, tell: Report, patience: Patience, *, most: int | None = None
    ) -> None:
        self.name, self.part, self.size, self.tell, self.patience = name, part, size, tell, patience
        self.most = size if most is None else most

    def __call__(self, address: str, output_file: str, pooch: Any) -> None:
        if "://" in address:
            self.fill(address)
        else:
            self.copy(Path(address))
        if self.size is not None and self.have != self.size:
            got, self_size = self.have, self.size
            self.part.unlink()
            raise Refused(f"has {got:,} bytes where {self_size:,} are published")
        os.replace(self.part, output_file)

    @property
    def have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def copy(self, path: Path) -> None:
        """From a slow or networked disk: read once, in order, never mapped."""
        if not path.is_file():
            raise Refused("is not there")
        total = path.stat().st_size
        self.make_room(total)
        copied(path, self.part, lambda done: self.tell(Progress(self.name, done, total)))

    def fill(self, address: str) -> None:
        """Ask for the rest until it is there; give up once an answer brings nothing new."""
        import requests
        from urllib3.exceptions import HTTPError

        best = self.have
        for _ in range(MOST_REQUESTS):
            if self.size is not None and self.have == self.size:
                return
            wrong = "ended too early"
            try:
                if self.stream(address):
                    return
            except (requests.RequestException, HTTPError, TimeoutError, ConnectionError) as problem:
                wrong = reason(problem)
                if wrong == SILENT:
                    raise TooSlow(wrong) from None
            if self.have <= best:
                raise Refused(wrong)
            best = self.have
            self.tell(Progress(self.name, note=f"{_short(address)} {wrong}, going on from {best / 1e6:,.0f} MB"))
        raise Refused(f"broke off {MOST_REQUESTS} times")

    def stream(self, address: str) -> bool:
        """One request, from where the part ends; whether it brought the file's end."""
        import requests

        begin = self.have
        headers = {"Accept-Encoding": "identity", "Accept": "application/octet-stream, */*"}
        if begin:
            headers["Range"] = f"bytes={begin}-"
        timeout = (self.patience.connect, self.patience.silence)
        with requests.get(address, headers=headers, stream=True, timeout=timeout) as reply:
            if reply.status_code == 416 and begin:  # the part is longer than the file
                self.part.unlink()
                return self.stream(address)
            if reply.status_code >= 400:
                raise Refused(f"answered {reply.status_code} {reply.reason}")
            if reply.headers.get("Content-Type", "").startswith("text/html"):
                raise Refused("sent a web page instead of the file")
            if reply.headers.get("Content-Encoding", "identity") != "identity":
                raise Refused("sends the file compressed, where it was asked for as it is")
            if reply.status_code != 206:
                begin = 0  # no Range support: from the beginning
            elif not reply.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
                raise Refused("answered with another part of the file than was asked for")
            length = reply.headers.get("Content-Length")
            total = begin + int(length) if length and length.isdecimal() else self.size
            if self.size is not None and total != self.size:
                raise Refused(f"offers {total:,} bytes where {self.size:,} are published")
            if self.most is not None and (total or 0) > self.most:
                raise Refused(f"offers {total:,} bytes where at most {self.most:,} are expected")
            self.make_room((total or 0) - begin)
            self.receive(reply.raw, begin, total)
        return total is None or self.have == total

    def receive(self, raw: Any, begin: int, total: int | None) -> None:
        """Append what arrives; a trickle is left for a better address."""
        read = getattr(raw, "read1", raw.read)
        done, clock, mark = begin, time.monotonic(), begin
        with self.part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            while block := read(CHUNK):
                if not done and (kind := mistaken(block[:512])):
                    raise Refused(f"sent {kind} instead of the file")
                done += len(block)
                if self.most is not None and done > self.most:
                    raise Refused(f"sends more than the {self.most:,} bytes that are expected")
                if total is None and shutil.disk_usage(self.part.parent).free < SPARE:
                    self.part.unlink()
                    raise Refused(f"sends a file without an end: {done / 1e6:,.0f} MB so far")
                self.write(file, block)
                self.tell(Progress(self.name, done, total))
                elapsed = time.monotonic() - clock
                if elapsed > self.patience.window:
                    if (done - mark) / elapsed < self.patience.bytes_per_second:
                        raise TooSlow(f"is slow ({(done - mark) / elapsed / 1000:,.0f} kB/s)")
                    clock, mark = time.monotonic(), done

    def write(self, file: Any, block: bytes) -> None:
        """Write, or say what to do when the disk has become full meanwhile; what was fetched is kept."""
        try:
            file.write(block)
            file.flush()
        except OSError as wrong:
            said = f"{self.name} cannot be written to {self.part.parent} ({wrong.strerror}); what was fetched is kept"
            raise CannotFetch(f"{said}. {ROOM}") from None

    def make_room(self, size: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if size > free:
            said = f"{self.name} needs {size / 1e9:.1f} GB in {self.part.parent} where {free / 1e9:.1f} GB are free"
            raise CannotFetch(f"{said}. {ROOM}")


def copied(path: Path, part: Path, told: Callable[[int], Any]) -> None:
    """A large file copied in blocks, the bytes so far told."""
    with path.open("rb") as source, part.open("wb") as target:
        while block := source.read(1 << 22):
            target.write(block)
            told(target.tell())


def _adopt(folder: Path, part: Path, size: int | None) -> None:
    """A process killed while it checked a file leaves pooch's temporary name: if whole, it is a part again."""
    for stray in folder.glob("tmp*"):
        if size is not None and stray.stat().st_size == size and not part.exists():
            os.replace(stray, part)
        else:
            stray.unlink()


@contextmanager
def alone(entry: Entry, tell: Report) -> Iterator[None]:
    """One process at a time writes a model's files; a killed one frees the lock."""
    from filelock import FileLock, Timeout

    lock = FileLock(entry.folder / ".lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        tell(Progress(entry.name, note=f"another process is at {entry.full_name}, waiting for it"))
        held = lock.acquire()
    with held:
        yield


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _short(address: str) -> str:
    return urlsplit(address).netloc or address


def reason(problem: Exception) -> str:
    """A few words for what `requests` says in a paragraph."""
    words = {
        "ConnectTimeout": "did not answer",
        "ReadTimeout": SILENT,
        "ReadTimeoutError": SILENT,
        "SSLError": "has an invalid certificate",
        "ProxyError": "cannot be reached through the proxy",
        "TooManyRedirects": "sends from one address to the next without an end",
        "ConnectionError": "cannot be reached",
        "ProtocolError": "broke off",
        "IncompleteRead": "broke off",
        "ChunkedEncodingError": "broke off",
    }
    kind = type(problem).__name__
    return words.get(kind, f"failed ({kind})")
