"""Output that may go away: a pipe whose reader has left, a terminal that was closed, a disk that is full.

The picture is what counts. From the first write that fails on, a stream writes to nowhere.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_NORMAL = {errno.EPIPE, errno.EIO, errno.ESHUTDOWN}  # nobody is there to read


class LenientStream:
    """A text stream whose failing writes are dropped. error: the first one, unless the reader has only left."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream or io.StringIO()  # None where it was closed before Python began
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """As any text stream's; never raises OSError."""
        try:
            self.stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """As any text stream's; never raises OSError."""
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: OSError | ValueError) -> None:
        if isinstance(error, OSError) and error.errno not in _NORMAL and self.error is None:
            self.error = error
        with suppress(OSError, ValueError):  # what is still held goes nowhere, also at the interpreter's end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def lenient_streams() -> Iterator[tuple[LenientStream, LenientStream]]:
    """stdout and stderr as lenient streams, within this."""
    before = sys.stdout, sys.stderr
    out, err = LenientStream(before[0]), LenientStream(before[1])
    for stream in (out.stream, err.stream):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe on Windows may lack a letter, such as a tick
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
