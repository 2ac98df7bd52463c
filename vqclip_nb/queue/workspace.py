"""Workspaces: the folders of a job and its progress, whether the store is on this machine or on another."""

from pathlib import Path
from typing import Protocol

from vqclip_nb.queue.records import Job, StoreBroken


class Workspace(Protocol):
    """The folders and the progress of jobs. `Store` is one; `JobWorkspace` is for a machine without the store."""

    @property
    def runs(self) -> Path:
        """The folder of run folders."""

    @property
    def uploads(self) -> Path:
        """The folder of uploaded pictures."""

    def progress(self, job: str, step: int) -> bool:
        """Record the step that a job has reached. Returns False if the job is to end."""


class JobWorkspace:
    """The workspace of one job, without the store: another process reads `step` and sets `goes_on`."""

    def __init__(self, job: str, runs: Path, uploads: Path) -> None:
        self.job, self.runs, self.uploads = job, runs, uploads
        self.step, self.goes_on = 0, True

    def progress(self, job: str, step: int) -> bool:
        """Record the step that the job has reached. Returns False if the job is to end."""
        self.step = step
        return self.goes_on


def report_progress(workspace: Workspace, job: Job, step: int) -> bool:
    """Record the step that a job has reached. Returns False if the job is to end.

    A full disk does not end a job: the picture may still be finished.
    """
    try:
        return workspace.progress(job.id, step)
    except StoreBroken:
        return True
