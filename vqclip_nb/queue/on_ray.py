"""The queue on Ray: an actor on each GPU, or on each CPU, paints what this process takes from the store.

`python -m vqclip_nb.queue.on_ray [--address HOST:PORT] [--workers N] FOLDER NAME DEVICE`, with NAME and DEVICE as a
worker has them. Only this process opens the store; the actors need the folders of runs and of uploads.
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
from vqclip_nb.queue.desk import Slate, noted
from vqclip_nb.queue.records import Ending, Job
from vqclip_nb.queue.store import Store
from vqclip_nb.queue.worker import only_one, painted, stand_back, until_the_server_leaves, work
from vqclip_nb.sweeps.ray_start import RayWorker, connect, crew, listens

LOOK = 0.25  # seconds between two looks at how far a picture is
HEARTBEAT = 5  # seconds between two looks whether Ray is still there
START = 180  # seconds in which an actor must be ready


class ActorDied(Exception):
    """The actor that painted a job is no more; the job is still its worker's."""


class JobPainter(RayWorker):
    """What an actor does: paints one job after another."""

    def __init__(self) -> None:
        super().__init__()
        stand_back()
        self._slate = Slate("", Path(), Path())

    def paint(self, job: Job, runs: str, uploads: str) -> Ending:
        """Paint a job in its folder under `runs`, once no worker of an earlier server is still at it."""
        self._slate = Slate(job.id, Path(runs), Path(uploads))
        self.wait_for(self._slate.runs / job.run)
        return painted(job, self._slate, device="auto", stop=lambda: self.stopping)

    def look(self, job: str, goes_on: bool) -> int:
        """How far a job is, and say whether it goes on; 0 before it has begun."""
        if self._slate.job != job:
            return 0
        self._slate.goes_on = goes_on
        return self._slate.step


class Crew:
    """The workers on Ray: each has an actor, hired again when it dies, and takes job after job from the store."""

    def __init__(self, store: Store, stop: threading.Event, *, workers: int | None, painter: type = JobPainter) -> None:
        import ray

        self._ray, self.store, self.stop = ray, store, stop
        self.count, self._actor = crew(painter, workers)
        self._head = ray.get_runtime_context().gcs_address

    def run(self) -> None:
        """Paint until `stop`. Raises RunError where Ray is gone, or its machines do not share the folder."""
        self.store.hand_over([])
        errors: list[RunError] = []
        names = [f"ray-{number}" for number in range(1, self.count + 1)]
        threads = [threading.Thread(target=self._serve, args=[name, errors], daemon=True) for name in names]
        for thread in threads:
            thread.start()
        while not (self.stop.wait(HEARTBEAT) or errors):
            if not listens(self._head):
                raise RunError(f"the Ray at {self._head!r} is gone")  # its threads may wait for it without an end
        self.stop.set()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _serve(self, name: str, errors: list[RunError]) -> None:
        try:
            while not self.stop.is_set():
                if (actor := self._hired()) is None:
                    return
                try:
                    work(self.store, name, self.stop, partial(self._painted, actor))
                except ActorDied:
                    print(f"vqclip: the actor of {name} died; another goes on", file=sys.stderr)  # noqa: T201
                finally:
                    self._ray.kill(actor)
        except RunError as error:
            errors.append(error)

    def _hired(self) -> Any:
        """An actor that is ready; None where `stop` comes first. Raises RunError where none can be had."""
        actor = self._actor.remote()
        token = self.store.folder / f".{uuid4().hex}.part"
        token.touch()
        try:
            answer, begun = actor.ready.remote(str(token.absolute())), time.monotonic()
            while not self._ray.wait([answer], timeout=LOOK)[0]:
                if self.stop.is_set():
                    return None
                if time.monotonic() - begun > START:
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

    def _painted(self, actor: Any, job: Job) -> Ending:
        """Let an actor paint a job. Raises ActorDied."""
        folders = (str(folder.absolute()) for folder in (self.store.runs, self.store.uploads))
        answer, goes_on = actor.paint.remote(job, *folders), True
        try:
            while not self._ray.wait([answer], timeout=LOOK)[0]:
                if self.stop.is_set():
                    actor.stop.remote()
                goes_on = noted(self.store, job, self._ray.get(actor.look.remote(job.id, goes_on)))
            step, ending = self._ray.get([actor.look.remote(job.id, goes_on), answer])
        except self._ray.exceptions.RayActorError:
            raise ActorDied from None
        noted(self.store, job, step)
        return ending  # type: ignore[no-any-return]


def main(arguments: Sequence[str] | None = None, painter: type = JobPainter) -> int:
    """Work until the standard input ends or a polite signal comes; 1 where Ray failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("device")
    wanted = parser.parse_args(arguments)
    stop = until_the_server_leaves()
    store = Store(wanted.folder)
    try:
        with only_one(store, wanted.name):
            connect(wanted.address, wanted.workers, show_output=True, tries=1)
            Crew(store, stop, workers=wanted.workers, painter=painter).run()
    except RunError as error:
        print(f"vqclip: {error}; the jobs wait until it is tried again", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
