"""Front: what differs from one notebook front end to another. The only place that knows google.colab."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vqclip_nb.device import in_colab

MOST_IN_A_LINK = 8_000_000  # bytes of a file within a page


def download(path: Path) -> bool:
    """Have Colab's front end save a file; False elsewhere, where a link does it."""
    if not in_colab():
        return False
    from google.colab import files

    files.download(str(path))
    return True


def drive_folder() -> str:
    """Mount Google Drive, which asks for leave, and name the folder in it for copies of the runs. In Colab alone."""
    from google.colab import drive

    drive.mount("/content/drive")
    return "/content/drive/MyDrive/vqclip"


def disconnect() -> None:
    """Give Colab's machine back. Elsewhere nothing happens."""
    if in_colab():
        from google.colab import drive, runtime

        drive.flush_and_unmount()  # what was written there may still be on its way
        runtime.unassign()


def someone_looks() -> bool:
    """Whether a person may be at the other end: not in a notebook that runs by itself (VQCLIP_HEADLESS)."""
    return not os.environ.get("VQCLIP_HEADLESS")


async def serve(
    over: Callable[[], bool],
    tick: Callable[[], object],
    stop: Callable[[], object],
    busy: Callable[[], bool] = lambda: False,
) -> None:
    """Keep a cell running in Colab, where what a thread sends after its cell has ended is not shown.

    Calls `tick` ten times a second and lets clicks in, until `over`; the cell's own stop button calls `stop`, and what
    is still `busy` is shown to its end. In every other front end it returns at once.
    """
    if not in_colab() or not someone_looks():
        return
    kernel = _kernel()
    try:
        while not over():
            tick()
            await _let_clicks_in(kernel)
            await asyncio.sleep(0.1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        stop()
        while busy():
            tick()
            await asyncio.sleep(0.1)
    tick()


def _kernel() -> Any:
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)


async def _let_clicks_in(kernel: Any) -> None:
    """ipykernel 6 hears clicks only between cells, so its queue is worked off here; 7 hears them by itself."""
    if kernel is None or not hasattr(kernel, "msg_queue"):
        return
    parent, ident = kernel.get_parent("shell"), kernel._parent_ident
    ident = ident if isinstance(ident, bytes | list) else dict(ident)["shell"]
    for _ in range(20):
        if kernel.msg_queue.empty():
            return
        try:
            await kernel.do_one_iteration()
        finally:
            kernel.set_parent(ident, parent)
