"""Painting a sweep: each item in a folder of its own. Items that are already complete are skipped."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vqclip_nb import session
from vqclip_nb.errors import NotANumber, OutOfMemory, RunError
from vqclip_nb.models import shared
from vqclip_nb.sweeps.items import Item
from vqclip_nb.sweeps.results import Result, check_writable, complete, last_losses, result_log, writable

TRIES = 2


def sweep(
    items: Sequence[Item], out: str | Path = "sweep", *, stop: Callable[[], bool] = lambda: False
) -> Iterator[Result]:
    """Paint the items one after another, with the models loaded once; yields the result of each.

    Complete items are skipped and interrupted ones resumed. A failed item is tried once more; then the sweep continues
    with the next. `out`/sweep.jsonl gets a line for each item. stop: called after each step; True ends the sweep.
    Raises RunError if `out` cannot be written to, also if its disk fills up later.
    """
    out = Path(out)
    with result_log(out) as log, shared.keep_loaded():
        for item in items:
            if stop():
                return
            result = paint_item(item, out, stop)
            log(result)
            yield result
            if result.state == "failed":
                check_writable(out)


def paint_item(item: Item, out: Path, stop: Callable[[], bool]) -> Result:
    """Paint an item in its folder under `out`, unless it is already complete there."""
    folder, start = out / item.name, time.monotonic()
    if complete(folder):
        return Result(item, folder, "there", losses=last_losses(folder))
    for attempt in range(TRIES):
        try:
            is_complete = _paint(item, folder, stop)
        except (ValueError, OSError, ImportError, NotANumber, OutOfMemory) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            if attempt + 1 == TRIES or isinstance(error, ImportError) or not writable(out):
                return Result(item, folder, "failed", reason, time.monotonic() - start)
            shared.forget()
            continue
        break
    state = "painted" if is_complete else "stopped"
    return Result(item, folder, state, "", time.monotonic() - start, last_losses(folder))


def _paint(item: Item, folder: Path, stop: Callable[[], bool]) -> bool:
    """Paint or resume one item. Returns whether it was painted to its end."""
    run_options = {"device": item.settings.device}
    if (folder / "settings.json").exists():
        active = session.resume(folder, run_options=run_options)
    else:
        settings = item.settings.replace(out=str(folder.parent))
        active = session.start(settings, name=folder.name)
    try:
        for _ in active:
            if stop():
                break
        painting = active.painting
        result = active.record.finish(painting, hurry=stop)
    except Exception:
        active.record.close()  # unlocks the folder for another attempt
        raise
    if result.resolve().parent != folder.resolve():  # the disk was full, or was unmounted
        raise RunError(f"{str(folder)!r} could not be written to the end; the rest is in {str(result.parent)!r}")
    return painting.ended
