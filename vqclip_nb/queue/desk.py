"""The desk: what a painting needs of the queue, be the store at hand or on another machine."""

from pathlib import Path
from typing import Protocol

from vqclip_nb.queue.records import Job, StoreBroken


class Desk(Protocol):
    """Where the folders are, and who notes how far a job is. The store has it all."""

    @property
    def runs(self) -> Path:
        """Where the run folders are."""

    @property
    def uploads(self) -> Path:
        """Where the pictures are that people sent."""

    def progress(self, job: str, step: int) -> bool:
        """Note how far a job is. Whether it is to go on."""


class Slate:
    """A desk without the store, for one job: somebody else reads how far it is, and says whether to go on."""

    def __init__(self, job: str, runs: Path, uploads: Path) -> None:
        self.job, self.runs, self.uploads = job, runs, uploads
        self.step, self.goes_on = 0, True

    def progress(self, job: str, step: int) -> bool:
        """Note how far the job is. Whether it is to go on."""
        self.step = step
        return self.goes_on


def noted(desk: Desk, job: Job, step: int) -> bool:
    """Note how far a job is. Whether it is to go on: also where the disk is full, since the picture counts for more."""
    try:
        return desk.progress(job.id, step)
    except StoreBroken:
        return True
