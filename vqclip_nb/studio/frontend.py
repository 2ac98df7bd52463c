"""Front ends: the differences between Colab, JupyterLab and others. Only this module uses google.colab."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vqclip_nb.device import in_colab

MOST_IN_A_LINK = 8_000_000  # bytes of a file that is embedded in the page


def download(path: Path) -> bool:
    """Have Colab's front end save a file. Returns False in other front ends, which use a link."""
    if not in_colab():
        return False
    from google.colab import files

    files.download(str(path))
    return True


def address(path: Path) -> str | None:
    """The URL path of a file on the notebook's server, or None if no server is known to serve it."""
    server = {} if in_colab() else _server()
    root = server.get("root_dir") or server.get("notebook_dir")
    if not root or not path.resolve().is_relative_to(Path(root).resolve()):
        return None
    way = path.resolve().relative_to(Path(root).resolve()).as_posix()
    return f"{server['base_url']}files/{quote(way)}?download=1"


def _server() -> dict[str, Any]:
    """The info file of the server that started this kernel (Jupyter Server, Notebook 6), or an empty mapping."""
    if pid := os.environ.get("JPY_PARENT_PID"):
        from jupyter_core.paths import jupyter_runtime_dir

        for kind in ("jpserver", "nbserver"):
            with suppress(OSError, ValueError):
                return dict(json.loads((Path(jupyter_runtime_dir()) / f"{kind}-{pid}.json").read_bytes()))
    return {}


def drive_folder() -> str:
    """Mount Google Drive, which asks for permission, and return the folder for copies of the runs. Only in Colab."""
    from google.colab import drive

    drive.mount("/content/drive")
    return "/content/drive/MyDrive/vqclip"


def disconnect() -> None:
    """Release Colab's machine. Does nothing in other front ends."""
    if in_colab():
        from google.colab import drive, runtime

        drive.flush_and_unmount()  # recent writes may not have arrived yet
        runtime.unassign()


def keep_heard(*parts: Any) -> None:
    """Route clicks on these widgets, and on their descendants, to the subshell of the page that sends them.

    ipykernel 7.4 sends a click to the subshell that last wrote to the widget. A thread that a click has started writes
    for the subshell of that click's page. After a reload that subshell is gone, and clicks would be lost ("Unknown
    subshell_id"). With other kernels this does nothing.
    """
    for part in parts:
        comm = getattr(part, "comm", None)
        if comm is not None and hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = lambda data, own: own
        keep_heard(*getattr(part, "children", ()))


def someone_looks() -> bool:
    """Whether a person may look at the notebook; False if it runs by itself (VQCLIP_HEADLESS)."""
    return not os.environ.get("VQCLIP_HEADLESS")


async def serve(
    over: Callable[[], bool],
    tick: Callable[[], object],
    stop: Callable[[], object],
    busy: Callable[[], bool] = lambda: False,
) -> None:
    """Keep a cell running in Colab, which does not show a thread's messages after its cell has ended.

    Calls `tick` ten times a second and handles clicks, until `over` returns True. The cell's own stop button calls
    `stop`; then it continues while `busy` returns True. In every other front end it returns at once.
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
    """Handle the queue of clicks in ipykernel 6, which does so only between cells; ipykernel 7 needs no help."""
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
