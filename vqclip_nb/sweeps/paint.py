"""Painting a sweep: each item in a folder of its own, what is there already left as it is."""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vqclip_nb import session
from vqclip_nb.errors import NotANumber, OutOfMemory, PaintWarning, RunError
from vqclip_nb.models import shared
from vqclip_nb.runs.loss_log import LossLog
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.sweeps.items import Item

TRIES = 2


@dataclass(frozen=True)
class Result:
    """What became of an item.

    state: "painted", "there" (from an earlier call), "stopped" or "failed". error: why it failed, in one line. seconds:
    the time that this call took for it. losses: of the last step, by name, of the first picture.
    """

    item: Item
    folder: Path
    state: str
    error: str = ""
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    @property
    def picture(self) -> Path:
        """Its result.png, which a failed item may lack."""
        return self.folder / "result.png"


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


def complete(folder: Path) -> bool:
    """Whether a run's folder holds the picture after its last step."""
    try:
        info = RunInfo.read(folder)
    except RunError:
        return False
    return (folder / "result.png").is_file() and max(info.kept, default=0) >= info.current.steps


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


def last_losses(folder: Path) -> dict[str, float]:
    """The losses of the last step of a run, by name, of the first picture."""
    return LossLog.read(folder / "losses.csv", sys.maxsize).last()
