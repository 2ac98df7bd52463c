"""The status of a job at one moment. Independent of widgets and notebooks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqclip_nb.settings import Settings

TERMINAL_STATES = ("done", "stopped", "failed")
URGENT = ("state", "message", "revision", "notes", "problem")  # changes of these fields are shown at once


@dataclass(frozen=True)
class Problem:
    """An error as one sentence. remedy: settings that may help. details: the traceback.

    title: what happened, in a few words. begun: False if no run can begin like that, for example without the picture.
    """

    message: str
    details: str = ""
    remedy: Mapping[str, Any] | None = None
    title: str = "Something went wrong"
    begun: bool = True


@dataclass(frozen=True)
class JobStatus:
    """The status of a job. Every change makes a new object, so that a reader never sees half a change.

    state: loading, painting, paused, finishing, done, stopped or failed. message: the present activity, in a few words.
    first_step: the step before the job's first one. speed: steps per second, 0 until known. previews: each picture as a
    JPEG, at `preview_step`. losses: pairs (step, mean over the pictures) by name, thinned. memory: (used, total) bytes
    of the GPU, or None. max_pixels: the pixels of the largest picture that fits the GPU, as measured, or None. folder:
    that of the run. revision: the number of changes of settings by other means than `Job.change`: by opening, `undo`
    and `pick`; it continues from the last job's number.
    """

    state: str = "loading"
    message: str = "Getting ready"
    step: int = 0
    steps: int = 0
    first_step: int = 0
    speed: float = 0.0
    preview_step: int = 0
    previews: tuple[bytes, ...] = ()
    losses: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    memory: tuple[int, int] | None = None
    max_pixels: float | None = None
    folder: Path | None = None
    settings: "Settings | None" = None
    revision: int = 0
    notes: tuple[str, ...] = ()
    problem: Problem | None = None

    @property
    def complete(self) -> bool:
        """Whether all steps are made."""
        return self.step >= self.steps

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return self.state in TERMINAL_STATES

    @property
    def seconds_left(self) -> float | None:
        """The estimated seconds until the end, or None until known."""
        return (self.steps - self.step) / self.speed if self.speed else None

    @property
    def more_steps(self) -> int:
        """The number of further steps to offer for a finished run: as many as it has made."""
        return max(self.steps - self.first_step, 10)

    def urgent(self, before: "JobStatus | None") -> bool:
        """Whether a change since `before` should be shown at once, not at the next beat."""
        return before is None or any(getattr(self, name) != getattr(before, name) for name in URGENT)
