"""The worker: a process that paints the queue's jobs, one after another, on one device.

`python -m vqclip_nb.queue.worker FOLDER NAME DEVICE`. It leaves when its standard input ends, so that none outlives the
server that began it. Nothing of torch is imported before the first job.
"""

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vqclip_nb.errors import PaintWarning, PictureError, SettingsError
from vqclip_nb.freed_memory import keep_freed
from vqclip_nb.queue.desk import Desk
from vqclip_nb.queue.records import Ending, Job, StoreBroken
from vqclip_nb.queue.store import Store

if TYPE_CHECKING:
    from filelock import BaseFileLock

IDLE = 0.1  # seconds between two looks at an empty queue
NICE = 10  # how far a worker stands back, where a processor is asked for by it and by the server
RETRY = 5.0  # seconds between two tries to write to a full disk
UNSAID = "the server could not paint it; its log says why"
Result = TypeVar("Result")


def work(store: Store, name: str, stop: threading.Event, paint: Callable[[Job], Ending]) -> None:
    """Let `paint` do whatever comes, until `stop`."""
    while not stop.is_set():
        if (job := _whenever(lambda: store.claim(name), stop)) is None:
            stop.wait(IDLE)
            continue
        ending = paint(job)
        if ending.state != "stopped":
            _whenever(lambda: store.end(job.id, ending), stop)  # noqa: B023 - it is called at once


def _whenever(does: Callable[[], Result], stop: threading.Event) -> Result | None:
    """Do something with the store as soon as its disk can be written to; None where `stop` comes first."""
    while True:
        try:
            return does()
        except StoreBroken as error:
            print(f"vqclip: {error}; trying again", file=sys.stderr)  # noqa: T201 - the server's log
            if stop.wait(RETRY):
                return None


def painted(job: Job, desk: Desk, *, device: str, stop: Callable[[], bool]) -> Ending:
    """Paint a job; whatever is wrong with one picture, the next is painted."""
    try:
        from vqclip_nb.queue.painter import paint

        return paint(desk, job, device=device, stop=stop)
    except Exception as error:
        traceback.print_exc()
        is_plain = isinstance(error, SettingsError | PictureError)
        return Ending("failed", " ".join(str(error).split()) if is_plain else UNSAID)


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until the standard input ends or a polite signal comes."""
    from vqclip_nb.models import shared

    folder, name, device = sys.argv[1:] if arguments is None else arguments
    stop = until_the_server_leaves()
    stand_back()
    keep_freed()
    store = Store(Path(folder))
    with only_one(store, name), shared.keep_loaded():
        work(store, name, stop, lambda job: painted(job, store, device=device, stop=stop.is_set))
    store.close()
    return 0


def stand_back() -> None:
    """Let the server go first, and warn of nothing but what a person can mend."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", PaintWarning)


def only_one(store: Store, name: str) -> "BaseFileLock":
    """A lock that the one worker of this name holds. A worker of a server that was killed ends with its step."""
    from filelock import FileLock

    return FileLock(store.folder / f"{name}.lock")


def until_the_server_leaves() -> threading.Event:
    """What is set when the standard input ends, which the server holds, or a polite signal comes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_leave_with_server, args=[stop], daemon=True).start()
    return stop


def _leave_with_server(stop: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    stop.set()
    time.sleep(60)
    os._exit(1)  # a step that does not end


if __name__ == "__main__":
    sys.exit(main())
