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
from typing import TypeVar

from vqclip_nb.errors import PaintWarning, PictureError, SettingsError
from vqclip_nb.queue.records import Ending, Job, StoreBroken
from vqclip_nb.queue.store import Store

IDLE = 0.1  # seconds between two looks at an empty queue
NICE = 10  # how far a worker stands back, where a processor is asked for by it and by the server
RETRY = 5.0  # seconds between two tries to write to a full disk
UNSAID = "the server could not paint it; its log says why"
Result = TypeVar("Result")


def work(store: Store, name: str, device: str, stop: threading.Event) -> None:
    """Paint whatever comes, until `stop`."""
    while not stop.is_set():
        if (job := _whenever(lambda: store.claim(name), stop)) is None:
            stop.wait(IDLE)
            continue
        ending = _painted(store, job, device, stop)
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


def _painted(store: Store, job: Job, device: str, stop: threading.Event) -> Ending:
    """Paint a job; whatever is wrong with one picture, the next is painted."""
    try:
        from vqclip_nb.queue.painter import paint

        return paint(store, job, device=device, stop=stop.is_set)
    except Exception as error:
        traceback.print_exc()
        said = isinstance(error, SettingsError | PictureError)
        return Ending("failed", " ".join(str(error).split()) if said else UNSAID)


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until the standard input ends or a polite signal comes."""
    from filelock import FileLock

    from vqclip_nb.models import shared

    folder, name, device = sys.argv[1:] if arguments is None else arguments
    stop = threading.Event()
    if hasattr(os, "nice"):
        os.nice(NICE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_leave_with_server, args=[stop], daemon=True).start()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", PaintWarning)
    store = Store(Path(folder))
    with FileLock(store.folder / f"{name}.lock"), shared.keep_loaded():
        work(store, name, device, stop)
    store.close()
    return 0


def _leave_with_server(stop: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    stop.set()
    time.sleep(60)
    os._exit(1)  # a step that does not end


if __name__ == "__main__":
    sys.exit(main())
