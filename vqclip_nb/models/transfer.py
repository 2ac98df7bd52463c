"""Transfer: downloads a file from one address, with resumption, limits and clear errors."""

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
from vqclip_nb.models.local_files import wrong_content

CHUNK = 1 << 18
MOST_REQUESTS = 100  # of one address for one file
SPARE = 200_000_000  # bytes of disk that a download of unknown length must leave free
SILENT = "fell silent"
ROOM = "Remove a model (`vqclip models`), or set VQCLIP_HOME to a folder on a larger disk"


@dataclass(frozen=True)
class Progress:
    """The state of a download, in bytes; `note` is a sentence for the user, or None."""

    name: str
    done: int = 0
    total: int | None = None
    note: str | None = None


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Patience:
    """Time limits of an address, in seconds: to connect, between bytes, and until the answer begins.

    bytes_per_second: the slowest rate accepted, measured over `window` seconds; last_bytes_per_second: the same when no
    other address is left.
    """

    connect: float = 10
    silence: float = 30
    answer: float = 90
    bytes_per_second: float = 100_000
    window: float = 20
    last_bytes_per_second: float = 1_000


class Refused(Exception):
    """One address failed to give the file; the message says why."""


class TooSlow(Refused):
    """An address is slow; it is tried again when the others fail."""


class Transfer:
    """A pooch downloader that resumes the file `part`, and moves it to its target when it is complete."""

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
            actual, expected = self.have, self.size
            self.part.unlink()
            raise Refused(f"has {actual:,} bytes where {expected:,} are published")
        os.replace(self.part, output_file)

    @property
    def have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def copy(self, path: Path) -> None:
        """Copy from a disk that may be slow or networked: read once, in order."""
        if not path.is_file():
            raise Refused("is not there")
        total = path.stat().st_size
        self.make_room(total)
        copy_file(path, self.part, lambda done: self.tell(Progress(self.name, done, total)))

    def fill(self, address: str) -> None:
        """Request the missing part until the file is complete; give up when an answer brings nothing new."""
        import requests
        from urllib3.exceptions import HTTPError

        best = self.have
        for _ in range(MOST_REQUESTS):
            if self.size is not None and self.have == self.size:
                return
            failure = "ended too early"
            try:
                if self.stream(address):
                    return
            except (requests.RequestException, HTTPError, TimeoutError, ConnectionError) as problem:
                failure = reason(problem)
                if failure == SILENT:
                    raise TooSlow(failure) from None
            if self.have <= best:
                raise Refused(failure)
            best = self.have
            self.tell(Progress(self.name, note=f"{short(address)} {failure}, going on from {best / 1e6:,.0f} MB"))
        raise Refused(f"broke off {MOST_REQUESTS} times")

    def stream(self, address: str) -> bool:
        """Make one request for the missing part. Returns whether the file is complete."""
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
        """The response to a request, without its body.

        The thread limits the time for servers that send headers slowly.
        """
        import requests

        outcome: list[Any] = []
        timeout = (self.patience.connect, self.patience.silence)

        def ask() -> None:
            try:
                outcome.append(requests.get(address, headers=headers, stream=True, timeout=timeout))
            except Exception as problem:  # raised in the waiting thread below
                outcome.append(problem)

        thread = threading.Thread(target=ask, name="vqclip-request", daemon=True)
        thread.start()
        thread.join(self.patience.answer)
        if not outcome:
            raise Refused(f"did not answer within {self.patience.answer:.0f} s")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def receive(self, raw: Any, begin: int, total: int | None) -> None:
        """Append the data that arrives. Raises TooSlow when the rate is too low."""
        read = getattr(raw, "read1", raw.read)
        done, clock, mark = begin, time.monotonic(), begin
        with self.part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            while block := read(CHUNK):
                if not done and (kind := wrong_content(block[:512])):
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
        """Write a block. Raises CannotFetch with the remedy when the disk is full; the part is kept."""
        try:
            file.write(block)
            file.flush()
        except OSError as error:
            problem = f"{self.name} cannot be written to {self.part.parent} ({error.strerror})"
            raise CannotFetch(f"{problem}; what was fetched is kept. {ROOM}") from None

    def make_room(self, size: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if size > free:
            problem = f"{self.name} needs {size / 1e9:.1f} GB in {self.part.parent} where {free / 1e9:.1f} GB are free"
            raise CannotFetch(f"{problem}. {ROOM}")


def copy_file(path: Path, part: Path, report: Callable[[int], Any]) -> None:
    """Copy a large file in blocks, and report the bytes copied so far."""
    with path.open("rb") as source, part.open("wb") as target:
        while block := source.read(1 << 22):
            target.write(block)
            report(target.tell())


def short(address: str) -> str:
    return urlsplit(address).netloc or address


def reason(problem: Exception) -> str:
    """A short reason for an error of `requests`."""
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
