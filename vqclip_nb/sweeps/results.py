"""Results: what became of the items of a sweep, as their folders say. Loads no torch."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from vqclip_nb.errors import RunError
from vqclip_nb.runs.loss_log import LossLog
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.sweeps.items import Item


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


def complete(folder: Path) -> bool:
    """Whether a run's folder holds the picture after its last step."""
    try:
        info = RunInfo.read(folder)
    except RunError:
        return False
    return (folder / "result.png").is_file() and max(info.kept, default=0) >= info.current.steps


def last_losses(folder: Path) -> dict[str, float]:
    """The losses of the last step of a run, by name, of the first picture."""
    return LossLog.read(folder / "losses.csv", sys.maxsize).last()
