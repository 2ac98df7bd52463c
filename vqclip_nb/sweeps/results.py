"""Results: the outcomes of a sweep's items, read from their folders. Loads no torch."""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vqclip_nb.errors import PaintWarning, RunError
from vqclip_nb.runs.loss_log import LossLog
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.safe_files import write
from vqclip_nb.sweeps.items import Item

ROOM = 1_000_000  # free bytes that another picture needs


@dataclass(frozen=True)
class Result:
    """The outcome of an item.

    state: "painted", "there" (from an earlier call), "stopped" or "failed". error: why it failed, in one line. seconds:
    the time that it took in this call. losses: the first picture's losses at the last step, by name.
    """

    item: Item
    folder: Path
    state: str
    error: str = ""
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    @property
    def picture(self) -> Path:
        """The path of result.png, which may not exist for a failed item."""
        return self.folder / "result.png"


@contextmanager
def result_log(out: Path) -> Iterator[Callable[[Result], None]]:
    """Create the folder `out`, and yield a function that adds a result to its sweep.jsonl.

    Raises RunError if `out` cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / "sweep.jsonl").open("a", encoding="utf-8")
    except OSError as error:
        raise RunError(f"out must be a folder that can be written to, got {str(out)!r}: {error.strerror}") from None

    def log(result: Result) -> None:
        line = {
            "name": result.item.name,
            "state": result.state,
            "error": result.error,
            "seconds": round(result.seconds, 2),
        }
        try:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
        except OSError as error:
            warnings.warn(f"sweep.jsonl cannot be written to: {error.strerror}", PaintWarning, stacklevel=2)

    with file:
        yield log


def writable(out: Path) -> bool:
    """Whether a megabyte can still be written to a folder."""
    probe = out / f".probe-{os.getpid()}"
    try:
        write(probe, bytes(ROOM))
        probe.unlink()
    except OSError:
        return False
    return True


def check_writable(out: Path) -> None:
    """Raise RunError if a folder can no longer be written to, so that no other item can be painted."""
    if not writable(out):
        remedy = "free some space, and the same command continues"
        raise RunError(f"the sweep ended, because {str(out)!r} can no longer be written to; {remedy}")


def complete(folder: Path) -> bool:
    """Whether a run's folder has the picture of its last step."""
    try:
        info = RunInfo.read(folder)
    except RunError:
        return False
    if not info.saved_steps or not (folder / "result.png").is_file():
        return False
    return info.saved_steps[-1] >= info.current.steps or _stopped_early(info)


def _stopped_early(info: RunInfo) -> bool:
    """Whether a run ended because its loss had not fallen for `early_stop` steps."""
    patience = info.current.early_stop
    if not patience or (state := info.latest()) is None or "lowest.since" not in state["tensors"]:
        return False
    return bool((state["tensors"]["lowest.since"] >= patience).all())


def last_losses(folder: Path) -> dict[str, float]:
    """The first picture's losses at the last step of a run, by name."""
    return LossLog.read(folder / "losses.csv", sys.maxsize).last()
