"""What is known of a job at one moment. Knows no widgets and no notebook."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqclip_nb.settings import Settings

TERMINAL_STATES = ("done", "stopped", "failed")
URGENT = ("state", "message", "revision", "notes", "problem")  # fields whose change is shown at once


@dataclass(frozen=True)
class Problem:
    """An error as one sentence. `remedy`: settings that may help. `details`: the traceback."""

    message: str
    details: str = ""
    remedy: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class JobStatus:
    """What is known of a job now. A new object at every change, so that a reader never sees half of one.

    state: loading, painting, paused, finishing, done, stopped or failed. message: what it is doing, in a few words.
    first_step: the step it began at. speed: steps per second, 0 before it is known. previews: each picture as JPEG,
    as of `preview_step`. losses: by name, (step, mean over the pictures), thinned. memory: (used, total) bytes of the
    GPU, or None. max_pixels: of the largest picture that the GPU holds, as one step measured it, or None. folder: of
    the run. revision: counts how often the settings changed by other means than `Job.change`: at the opening, by
    `undo`, by `pick`; a job counts on from the one before.
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
        """Whether no step is left to make."""
        return self.step >= self.steps

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return self.state in TERMINAL_STATES

    @property
    def seconds_left(self) -> float | None:
        """How long it still takes, or None before that is known."""
        return (self.steps - self.step) / self.speed if self.speed else None

    @property
    def more_steps(self) -> int:
        """How many steps more a finished run is offered: as many as it made."""
        return max(self.steps - self.first_step, 10)

    def urgent(self, before: "JobStatus | None") -> bool:
        """Whether something is new against `before` that should not wait for the next beat."""
        return before is None or any(getattr(self, name) != getattr(before, name) for name in URGENT)
