"""Stop: handles Ctrl-C and termination signals between steps."""

import signal
import threading
from typing import Any, Self

POLITE = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stop:
    """Counts Ctrl-C, SIGTERM and SIGHUP, to be read between steps, so that no step is interrupted.

    The first ends the painting, a second skips the film, which takes longest to save, and a third interrupts at once.
    """

    count = 0

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
            return self
        numbers = [
            number for number in POLITE if signal.getsignal(number) is not signal.SIG_IGN
        ]  # ignored signals, as under nohup, stay ignored
        self._before = {number: signal.signal(number, self._on_signal) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt
