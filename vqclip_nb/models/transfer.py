"""Transfer: one address, asked until its file is here, or named for what it does instead."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vqclip_nb.models.errors import CannotFetch
from vqclip_nb.models.given_files import mistaken

CHUNK = 1 << 18
MOST_REQUESTS = 100  # of one address for one file
SPARE = 200_000_000  # bytes that a file of unknown length leaves free
SILENT = "fell silent"
ROOM = "Remove a model (`vqclip models`), or set VQCLIP_HOME to a folder on a larger disk"


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
    """How long an address may take: seconds to connect, between bytes, and until its answer begins; the slowest rate
    while others are left, and when none is."""

    connect: float = 10
    silence: float = 30
    answer: float = 90
    bytes_per_second: float = 100_000
    window: float = 20
    last_bytes_per_second: float = 1_000


class Refused(Exception):
    """One address did not give the file, and why."""


class TooSlow(Refused):
    """An address gives the file, but others may be faster; it is asked again when they fail."""


class Transfer:
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
            self.tell(Progress(self.name, note=f"{short(address)} {wrong}, going on from {best / 1e6:,.0f} MB"))
        raise Refused(f"broke off {MOST_REQUESTS} times")

    def stream(self, address: str) -> bool:
        """One request, from where the part ends; whether it brought the file's end."""
        begin = self.have
        headers = {"Accept-Encoding": "identity", "Accept": "application/octet-stream, */*"}
        if begin:
            headers["Range"] = f"bytes={begin}-"
        with self.answered(address, headers) as reply:
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

    def answered(self, address: str, headers: dict[str, str]) -> Any:
        """The answer to one request, its body still to come. Headers that drip would otherwise hold us for weeks."""
        import requests

        outcome: list[Any] = []
        timeout = (self.patience.connect, self.patience.silence)

        def ask() -> None:
            try:
                outcome.append(requests.get(address, headers=headers, stream=True, timeout=timeout))
            except Exception as problem:  # raised below, where somebody waits
                outcome.append(problem)

        asking = threading.Thread(target=ask, name="vqclip-request", daemon=True)
        asking.start()
        asking.join(self.patience.answer)
        if not outcome:
            raise Refused(f"did not answer within {self.patience.answer:.0f} s")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

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


def short(address: str) -> str:
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
