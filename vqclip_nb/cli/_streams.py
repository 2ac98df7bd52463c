"""Lenient streams: painting continues when the output goes to a closed pipe, a closed terminal or a full disk.

After the first write that fails, a stream discards its output.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_NORMAL = {errno.EPIPE, errno.EIO, errno.ESHUTDOWN}  # the pipe or terminal was closed


class LenientStream:
    """A text stream that ignores failing writes. error: the first error, except a closed pipe or terminal."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream or io.StringIO()  # None if it was closed before Python started
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Like `write` of any text stream, but never raises OSError."""
        try:
            self.stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._discard_output(error)
        return len(text)

    def flush(self) -> None:
        """Like `flush` of any text stream, but never raises OSError."""
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self._discard_output(error)

    def _discard_output(self, error: OSError | ValueError) -> None:
        if isinstance(error, OSError) and error.errno not in _NORMAL and self.error is None:
            self.error = error
        with suppress(OSError, ValueError):  # buffered output is discarded, also when the interpreter exits
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self.stream.fileno())
            os.close(devnull)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def lenient_streams() -> Iterator[tuple[LenientStream, LenientStream]]:
    """Inside this context, stdout and stderr are lenient streams."""
    streams = sys.stdout, sys.stderr
    out, err = LenientStream(streams[0]), LenientStream(streams[1])
    for stream in (out.stream, err.stream):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the encoding of a pipe on Windows may lack a letter
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = streams
