"""The streams of a command: a reader that went away, or a disk that is full, ends no painting."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vqclip_nb.escapes import visible

FILM_FAILED = 3  # the exit status when the pictures are there, and their film is not
AWAY = (
    errno.EPIPE,
    errno.EIO,
    errno.EINVAL,
)  # the reader has enough, or the terminal is closed


class Tolerant:
    """A text stream as it was, but for this: once it cannot be written to, what comes is dropped.

    lost: why it could not be written to, where that is more than a reader that went away.
    """

    def __init__(self, stream: Any) -> None:
        self.stream, self.lost, self._gone = stream, "", False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, or drop it."""
        if not self._gone:
            try:
                self.stream.write(text)
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, where there is something to flush to."""
        if not self._gone:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Drop what comes, and let Python's own flush at the end of the process go nowhere."""
        self._gone = True
        if isinstance(error, OSError) and error.errno not in AWAY:
            self.lost = error.strerror or str(error)
        if self.stream in (sys.__stdout__, sys.__stderr__):
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())


@contextmanager
def tolerant() -> Iterator[Tolerant]:
    """Make both streams tolerant for a while; gives stdout's."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe on Windows has no letter for a tick
    out = Tolerant(before[0])
    sys.stdout, sys.stderr = out, Tolerant(before[1])  # type: ignore[assignment]
    try:
        yield out
        out.flush()
        if out.lost:
            warn(f"what it had to say could not be written ({out.lost})")
    finally:
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def say(text: object) -> None:
    """Print one line, control characters that came from files shown as escapes."""
    print(visible(text))


def warn(text: object, *, over_bar: bool = False) -> None:
    """Print one line on stderr, as `say` does; `over_bar` puts it where a progress bar may stand."""
    start = "\r" if over_bar else ""
    print(f"{start}vqclip: {visible(' '.join(str(text).split()))}", file=sys.stderr)
