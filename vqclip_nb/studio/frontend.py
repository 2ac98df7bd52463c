"""What differs from one notebook front end to another. The only place that knows google.colab."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vqclip_nb.device import in_colab

MOST_IN_A_LINK = 8_000_000  # bytes of a file within a page


def download(path: Path) -> bool:
    """Have Colab's front end save a file; False elsewhere, where a link does it."""
    if not in_colab():
        return False
    from google.colab import files

    files.download(str(path))
    return True


def address(path: Path) -> str | None:
    """Where the notebook's server hands out a file, from the server's root on; None where none is known to do so."""
    server = {} if in_colab() else _server()
    root = server.get("root_dir") or server.get("notebook_dir")
    if not root or not path.resolve().is_relative_to(Path(root).resolve()):
        return None
    way = path.resolve().relative_to(Path(root).resolve()).as_posix()
    return f"{server['base_url']}files/{quote(way)}?download=1"


def _server() -> dict[str, Any]:
    """What the server that started this kernel wrote down of itself (Jupyter Server, Notebook 6); else nothing."""
    if pid := os.environ.get("JPY_PARENT_PID"):
        from jupyter_core.paths import jupyter_runtime_dir

        for kind in ("jpserver", "nbserver"):
            with suppress(OSError, ValueError):
                return dict(json.loads((Path(jupyter_runtime_dir()) / f"{kind}-{pid}.json").read_bytes()))
    return {}


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


def keep_heard(*parts: Any) -> None:
    """Have clicks on these widgets, and on all within them, handled where the page that sends them asks for it.

    ipykernel 7.4 sends a click to the subshell that last wrote to the widget. A thread that was started by a click
    writes for the subshell of that click's page; after a reload that subshell is gone, and the click would be lost
    ("Unknown subshell_id"). Other kernels have no such rule, and nothing happens.
    """
    for part in parts:
        comm = getattr(part, "comm", None)
        if comm is not None and hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = lambda data, own: own
        keep_heard(*getattr(part, "children", ()))


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
