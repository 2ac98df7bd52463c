"""The running job, the panel in charge of it, and who listens to whose warnings: the only state that cells share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vqclip_nb.studio.controller import Controller
    from vqclip_nb.studio.job import Job
    from vqclip_nb.studio.series import Series


class Registry:
    """What a cell that is run again finds.

    job: the newest job, ended or not. series: the newest series of jobs, ended or not. controller: of the panel that
    drives them. listeners: by the number of a thread, what its PaintWarnings are given to.
    """

    def __init__(self) -> None:
        self.job: Job | None = None
        self.series: Series | None = None
        self.controller: Controller | None = None
        self.listeners: dict[int, Callable[[str], None]] = {}

    @property
    def running(self) -> "Job | None":
        """The job, while it goes on."""
        return self.job if self.job and self.job.alive else None

    @property
    def in_series(self) -> "Series | None":
        """The series, while it goes on."""
        return self.series if self.series and not self.series.ended else None


REGISTRY = Registry()
