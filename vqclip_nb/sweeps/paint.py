"""Painting a sweep: each item in a folder of its own, what is there already left as it is."""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vqclip_nb import session
from vqclip_nb.errors import NotANumber, OutOfMemory, PaintWarning, RunError
from vqclip_nb.models import shared
from vqclip_nb.sweeps.items import Item
from vqclip_nb.sweeps.results import Result, complete, last_losses

TRIES = 2


def sweep(
    items: Sequence[Item], out: str | Path = "sweep", *, stop: Callable[[], bool] = lambda: False
) -> Iterator[Result]:
    """Paint the items one after another, with the models loaded once; yields what became of each.

    An item whose folder is complete is not painted again, one that was cut is resumed. One that fails is tried once
    more, and then the others go on. `out`/sweep.jsonl gets a line for each. `stop` is asked after each step.
    Raises RunError when `out` cannot be written to.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        log = (out / "sweep.jsonl").open("a", encoding="utf-8")
    except OSError as error:
        raise RunError(f"out must be a folder that can be written to, got {str(out)!r}: {error.strerror}") from None
    with log, shared.keep_loaded():
        for item in items:
            if stop():
                return
            result = _painted(item, out, stop)
            line = {
                "name": item.name,
                "state": result.state,
                "error": result.error,
                "seconds": round(result.seconds, 2),
            }
            try:
                log.write(json.dumps(line, ensure_ascii=False) + "\n")
                log.flush()
            except OSError as error:
                warnings.warn(f"sweep.jsonl cannot be written to: {error.strerror}", PaintWarning, stacklevel=2)
            yield result


def _painted(item: Item, out: Path, stop: Callable[[], bool]) -> Result:
    folder, begun = out / item.name, time.monotonic()
    if complete(folder):
        return Result(item, folder, "there", losses=last_losses(folder))
    for attempt in range(TRIES):
        try:
            whole = _paint(item, folder, stop)
        except (ValueError, OSError, ImportError, NotANumber, OutOfMemory) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            if attempt + 1 == TRIES or isinstance(error, ImportError):
                return Result(item, folder, "failed", reason, time.monotonic() - begun)
            shared.forget()
            continue
        break
    state = "painted" if whole else "stopped"
    return Result(item, folder, state, "", time.monotonic() - begun, last_losses(folder))


def _paint(item: Item, folder: Path, stop: Callable[[], bool]) -> bool:
    """Paint or resume one item. Whether it was painted to its end."""
    place = {"device": item.settings.device}
    if (folder / "settings.json").exists():
        active = session.resume(folder, place=place)
    else:
        settings = item.settings.replace(out=str(folder.parent))
        active = session.start(settings, name=folder.name)
    for _ in active:
        if stop():
            break
    painting = active.painting
    active.record.finish(painting, hurry=stop)
    return painting.ended
