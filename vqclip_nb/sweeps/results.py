"""Results: what became of the items of a sweep, as their folders say. Loads no torch."""

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

ROOM = 1_000_000  # bytes that a disk must have left for another picture


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


@contextmanager
def logged(out: Path) -> Iterator[Callable[[Result], None]]:
    """Makes the folder `out`, and gives a function that writes a line about a result into its sweep.jsonl.

    Raises RunError when `out` cannot be written to.
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
    """Whether there is room for a little more in a folder."""
    probe = out / f".probe-{os.getpid()}"
    try:
        write(probe, bytes(ROOM))
        probe.unlink()
    except OSError:
        return False
    return True


def check_writable(out: Path) -> None:
    """Raise RunError where a folder cannot be written to any more: no other item could be painted."""
    if not writable(out):
        remedy = "make room there, and the same command goes on"
        raise RunError(f"the sweep ended, since {str(out)!r} cannot be written to any more; {remedy}")


def complete(folder: Path) -> bool:
    """Whether a run's folder holds the picture after its last step."""
    try:
        info = RunInfo.read(folder)
    except RunError:
        return False
    if not info.kept or not (folder / "result.png").is_file():
        return False
    return info.kept[-1] >= info.current.steps or _stopped_early(info)


def _stopped_early(info: RunInfo) -> bool:
    """Whether a run ended because its loss had not fallen for as long as `early_stop` says."""
    patience = info.current.early_stop
    if not patience or (state := info.latest()) is None or "lowest.since" not in state["tensors"]:
        return False
    return bool((state["tensors"]["lowest.since"] >= patience).all())


def last_losses(folder: Path) -> dict[str, float]:
    """The losses of the last step of a run, by name, of the first picture."""
    return LossLog.read(folder / "losses.csv", sys.maxsize).last()
