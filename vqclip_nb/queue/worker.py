"""The worker: a process that paints the queue's jobs, one after another, on one device.

`python -m vqclip_nb.queue.worker FOLDER NAME DEVICE`. It ends when its standard input closes, so that it does not
outlive its server. It imports torch only with the first job.
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
from vqclip_nb.queue.records import Ending, Job, StoreBroken
from vqclip_nb.queue.store import Store
from vqclip_nb.queue.workspace import Workspace

if TYPE_CHECKING:
    from filelock import BaseFileLock

IDLE = 0.1  # seconds between two polls of an empty queue
NICE = 10  # niceness: the server gets a busy processor before a worker does
RETRY = 5.0  # seconds between two attempts to write to a full disk
HIDDEN_ERROR = "the server could not paint it; its log says why"
Result = TypeVar("Result")


def work(store: Store, name: str, stop: threading.Event, paint: Callable[[Job], Ending]) -> None:
    """Claim jobs from the store and paint them with `paint`, until `stop` is set."""
    while not stop.is_set():
        if (job := _retry(lambda: store.claim(name), stop)) is None:
            stop.wait(IDLE)
            continue
        ending = paint(job)
        if ending.state != "stopped":
            _retry(lambda: store.end(job.id, ending), stop)  # noqa: B023 - it is called at once


def _retry(action: Callable[[], Result], stop: threading.Event) -> Result | None:
    """The result of an action on the store, repeated while its disk is full; None if `stop` is set first."""
    while True:
        try:
            return action()
        except StoreBroken as error:
            print(f"vqclip: {error}; trying again", file=sys.stderr)  # noqa: T201 - the server's log
            if stop.wait(RETRY):
                return None


def paint_safely(job: Job, workspace: Workspace, *, device: str, stop: Callable[[], bool]) -> Ending:
    """Paint a job; an exception becomes a failed ending, so that the worker continues with the next job."""
    try:
        from vqclip_nb.queue.painter import paint

        return paint(workspace, job, device=device, stop=stop)
    except Exception as error:
        traceback.print_exc()
        is_plain = isinstance(error, SettingsError | PictureError)
        return Ending("failed", " ".join(str(error).split()) if is_plain else HIDDEN_ERROR)


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until the standard input closes, or SIGINT or SIGTERM arrives."""
    from vqclip_nb.models import shared

    folder, name, device = sys.argv[1:] if arguments is None else arguments
    stop = stop_event()
    lower_priority()
    keep_freed()
    store = Store(Path(folder))
    with name_lock(store, name), shared.keep_loaded():
        work(store, name, stop, lambda job: paint_safely(job, store, device=device, stop=stop.is_set))
    store.close()
    return 0


def lower_priority() -> None:
    """Run at a lower priority than the server, and show only warnings that a person can act on."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", PaintWarning)


def name_lock(store: Store, name: str) -> "BaseFileLock":
    """The lock of the one worker with this name. After a server was killed, its worker holds it until its step ends."""
    from filelock import FileLock

    return FileLock(store.folder / f"{name}.lock")


def stop_event() -> threading.Event:
    """An event that is set when the server closes the standard input, or SIGINT or SIGTERM arrives."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_stop_with_server, args=[stop], daemon=True).start()
    return stop


def _stop_with_server(stop: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    stop.set()
    time.sleep(60)
    os._exit(1)  # the step hangs


if __name__ == "__main__":
    sys.exit(main())
