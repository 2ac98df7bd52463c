"""Stop: Ctrl-C and a polite kill, heard between steps."""

import signal
import threading
from typing import Any, Self

POLITE = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stop:
    """Ctrl-C, a polite kill and a closing terminal, counted and heard between steps: no step is left half done.

    The first ends the painting, a second leaves out the film, which takes longest of what is saved; a third interrupts.
    """

    heard = 0

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():  # which alone may hear signals
            return self
        numbers = [number for number in POLITE if signal.getsignal(number) is not signal.SIG_IGN]  # as under nohup
        self._before = {number: signal.signal(number, self._hear) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: object) -> None:
        self.heard += 1
        if self.heard > 2:
            raise KeyboardInterrupt
