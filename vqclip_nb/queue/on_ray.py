"""The queue on Ray: an actor on each GPU, or on each CPU, paints jobs that this process claims from the store.

`python -m vqclip_nb.queue.on_ray [--address HOST:PORT] [--workers N] FOLDER NAME DEVICE`, with NAME and DEVICE as in
`worker`. Only this process opens the store; the actors need the folders of runs and of uploads.
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from vqclip_nb.errors import RunError
from vqclip_nb.queue.records import Ending, Job
from vqclip_nb.queue.store import Store
from vqclip_nb.queue.worker import lower_priority, name_lock, paint_safely, stop_event, work
from vqclip_nb.queue.workspace import JobWorkspace, report_progress
from vqclip_nb.sweeps.ray_start import RayWorker, actor_class, connect, is_listening

POLL_INTERVAL = 0.25  # seconds between two polls of a job's progress
HEARTBEAT = 5  # seconds between two checks that Ray is still there
START = 180  # seconds in which an actor must be ready


class ActorDied(Exception):
    """The actor that painted a job has died; the job still belongs to its worker."""


class JobPainter(RayWorker):
    """The actor: paints one job after another."""

    def __init__(self) -> None:
        super().__init__()
        lower_priority()
        self._workspace = JobWorkspace("", Path(), Path())

    def paint(self, job: Job, runs: str, uploads: str) -> Ending:
        """Paint a job in its folder under `runs`, after waiting for any worker of an earlier server to release it."""
        self._workspace = JobWorkspace(job.id, Path(runs), Path(uploads))
        self.wait_for(self._workspace.runs / job.run)
        return paint_safely(job, self._workspace, device="auto", stop=lambda: self.stopping)

    def look(self, job: str, goes_on: bool) -> int:
        """The step that a job has reached, 0 before it starts. goes_on: whether it is to continue."""
        if self._workspace.job != job:
            return 0
        self._workspace.goes_on = goes_on
        return self._workspace.step


class RayWorkers:
    """The workers on Ray: each claims job after job from the store for its actor, which is replaced when it dies."""

    def __init__(self, store: Store, stop: threading.Event, *, workers: int | None, painter: type = JobPainter) -> None:
        import ray

        self._ray, self.store, self.stop = ray, store, stop
        self.count, self._actor = actor_class(painter, workers)
        self._head = ray.get_runtime_context().gcs_address

    def run(self) -> None:
        """Paint until `stop` is set. Raises RunError if Ray is gone, or if its machines do not share the folder."""
        self.store.release_jobs([])
        errors: list[RunError] = []
        names = [f"ray-{number}" for number in range(1, self.count + 1)]
        threads = [threading.Thread(target=self._serve, args=[name, errors], daemon=True) for name in names]
        for thread in threads:
            thread.start()
        while not (self.stop.wait(HEARTBEAT) or errors):
            if not is_listening(self._head):
                raise RunError(f"the Ray at {self._head!r} is gone")  # the threads may wait for Ray for ever
        self.stop.set()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _serve(self, name: str, errors: list[RunError]) -> None:
        try:
            while not self.stop.is_set():
                if (actor := self._start_actor()) is None:
                    return
                try:
                    work(self.store, name, self.stop, partial(self._paint_on, actor))
                except ActorDied:
                    print(f"vqclip: the actor of {name} died; another goes on", file=sys.stderr)  # noqa: T201
                finally:
                    self._ray.kill(actor)
        except RunError as error:
            errors.append(error)

    def _start_actor(self) -> Any:
        """Start an actor; None if `stop` is set first. Raises RunError if none can be started."""
        actor = self._actor.remote()
        token = self.store.folder / f".{uuid4().hex}.part"
        token.touch()
        try:
            answer, started_at = actor.ready.remote(str(token.absolute())), time.monotonic()
            while not self._ray.wait([answer], timeout=POLL_INTERVAL)[0]:
                if self.stop.is_set():
                    return None
                if time.monotonic() - started_at > START:
                    raise RunError(f"no Ray worker was ready within {START} seconds; `ray status` says why")
            shares = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise RunError(f"a Ray worker could not be started: {reason}; each machine needs this vqclip_nb") from None
        finally:
            token.unlink(missing_ok=True)
        if not shares:
            raise RunError(f"{str(self.store.folder)!r} must be a folder that all of Ray's machines share")
        return actor

    def _paint_on(self, actor: Any, job: Job) -> Ending:
        """Paint a job on an actor. Raises ActorDied."""
        folders = (str(folder.absolute()) for folder in (self.store.runs, self.store.uploads))
        answer, goes_on = actor.paint.remote(job, *folders), True
        try:
            while not self._ray.wait([answer], timeout=POLL_INTERVAL)[0]:
                if self.stop.is_set():
                    actor.stop.remote()
                goes_on = report_progress(self.store, job, self._ray.get(actor.look.remote(job.id, goes_on)))
            step, ending = self._ray.get([actor.look.remote(job.id, goes_on), answer])
        except self._ray.exceptions.RayActorError:
            raise ActorDied from None
        report_progress(self.store, job, step)
        return ending  # type: ignore[no-any-return]


def main(arguments: Sequence[str] | None = None, painter: type = JobPainter) -> int:
    """Work until the standard input closes, or SIGINT or SIGTERM arrives. Returns 1 if Ray failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("device")
    options = parser.parse_args(arguments)
    stop = stop_event()
    store = Store(options.folder)
    try:
        with name_lock(store, options.name):
            connect(options.address, options.workers, show_output=True, tries=1)
            RayWorkers(store, stop, workers=options.workers, painter=painter).run()
    except RunError as error:
        print(f"vqclip: {error}; the jobs wait until it is tried again", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
