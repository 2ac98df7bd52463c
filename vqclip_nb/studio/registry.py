"""The registry: the running job, the panel in charge, and the listeners of warnings. Only this state is global."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vqclip_nb.studio.controller import Controller
    from vqclip_nb.studio.job import Job
    from vqclip_nb.studio.series import Series


class Registry:
    """State that outlives a cell.

    job: the newest job, running or ended. series: the newest series of jobs, running or ended. controller: that of the
    panel in charge. listeners: the receivers of PaintWarnings, by thread id.
    """

    def __init__(self) -> None:
        self.job: Job | None = None
        self.series: Series | None = None
        self.controller: Controller | None = None
        self.listeners: dict[int, Callable[[str], None]] = {}

    @property
    def running(self) -> "Job | None":
        """The job if it is running, or None."""
        return self.job if self.job and self.job.alive else None

    @property
    def in_series(self) -> "Series | None":
        """The series if it is running, or None."""
        return self.series if self.series and not self.series.ended else None


REGISTRY = Registry()
