"""The painter: one job becomes an ordinary run folder, or goes on where that folder stands."""

import time
from collections.abc import Callable
from pathlib import Path

from vqclip_nb import session
from vqclip_nb.errors import NotANumber, OutOfMemory
from vqclip_nb.models import shared
from vqclip_nb.queue.desk import Desk, noted
from vqclip_nb.queue.records import Ending, Job
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.settings import Settings
from vqclip_nb.sweeps.paint import complete
from vqclip_nb.timeline import Edit

NOT_KEPT = "the server's disk is full, or cannot be written to"
NOTED_EVERY = 0.25  # seconds between two notes of how far a job is


def paint(desk: Desk, job: Job, *, device: str = "auto", stop: Callable[[], bool] = lambda: False) -> Ending:
    """Paint a job to its end, until it is cancelled, or until `stop` says so; then it can go on later.

    Raises what `session.start` and `session.resume` raise.
    """
    folder = desk.runs / job.run
    active = _begun(desk, job, folder, device)
    if active is None:
        return Ending("done")
    painting, record = active.painting, active.record
    noted_at, ending = 0.0, Ending("done")
    try:
        for frame in active:
            if frame.step >= job.steps or time.monotonic() - noted_at > NOTED_EVERY:
                noted_at = time.monotonic()
                if not noted(desk, job, frame.step):
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
    return ending if ending.state != "done" or complete(folder) else Ending("failed", NOT_KEPT)


def _begun(desk: Desk, job: Job, folder: Path, device: str) -> session.ActiveRun | None:
    """The job's run, new or taken up; None when all its steps are made."""
    if not (folder / "settings.json").exists():
        settings = Settings(**job.settings).replace(out=str(desk.runs), device=device, quiet=True)
        return session.start(settings, inputs=desk.uploads, name=job.run)
    change = Edit({"steps": job.steps}) if RunInfo.read(folder).current.steps < job.steps else None
    if change is None and complete(folder):
        return None
    return session.resume(folder, run_options={"device": device}, change=change)
