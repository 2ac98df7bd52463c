"""The painter: paints one job as an ordinary run folder, or resumes that folder."""

import time
from collections.abc import Callable
from pathlib import Path

from vqclip_nb import session
from vqclip_nb.errors import NotANumber, OutOfMemory
from vqclip_nb.models import shared
from vqclip_nb.queue.records import Ending, Job
from vqclip_nb.queue.workspace import Workspace, report_progress
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.settings import Settings
from vqclip_nb.sweeps.paint import complete
from vqclip_nb.timeline import Edit

NOT_SAVED = "the server's disk is full, or cannot be written to"
REPORT_INTERVAL = 0.25  # seconds between two progress reports


def paint(workspace: Workspace, job: Job, *, device: str = "auto", stop: Callable[[], bool] = lambda: False) -> Ending:
    """Paint a job until it is complete, is cancelled, or `stop` returns True; a stopped job can be resumed.

    Raises the errors of `session.start` and `session.resume`.
    """
    folder = workspace.runs / job.run
    active = _start_or_resume(workspace, job, folder, device)
    if active is None:
        return Ending("done")
    painting, record = active.painting, active.record
    reported_at, ending = 0.0, Ending("done")
    try:
        for frame in active:
            if frame.step >= job.steps or time.monotonic() - reported_at > REPORT_INTERVAL:
                reported_at = time.monotonic()
                if not report_progress(workspace, job, frame.step):
                    ending = Ending("cancelled")
                    break
            if stop() and frame.step < job.steps:
                record.save(painting)
                record.close()
                return Ending("stopped")
    except (NotANumber, OutOfMemory) as error:
        shared.forget()
        ending = Ending("failed", " ".join(str(error).split()))
    except BaseException:
        record.close()
        raise
    record.finish(painting, hurry=lambda: ending.state == "cancelled")
    return ending if ending.state != "done" or complete(folder) else Ending("failed", NOT_SAVED)


def _start_or_resume(workspace: Workspace, job: Job, folder: Path, device: str) -> session.ActiveRun | None:
    """The job's run, new or resumed; None if it is complete."""
    if not (folder / "settings.json").exists():
        settings = Settings(**job.settings).replace(out=str(workspace.runs), device=device, quiet=True)
        return session.start(settings, inputs=workspace.uploads, name=job.run)
    change = Edit({"steps": job.steps}) if RunInfo.read(folder).current.steps < job.steps else None
    if change is None and complete(folder):
        return None
    return session.resume(folder, run_options={"device": device}, change=change)
