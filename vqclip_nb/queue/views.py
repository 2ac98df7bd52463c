"""Views: the queue and its jobs as JSON, for each person. The store is read a few times a second for all viewers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from vqclip_nb.queue.job_requests import request_from
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.records import Job, NoSuchJob, Person
from vqclip_nb.queue.store import WITHOUT_TOKEN, Store
from vqclip_nb.runs import layout
from vqclip_nb.safe_files import is_plain

PULSE = 0.3  # seconds between two reads of the store
SILENCE = 15  # seconds after which a comment is sent, to keep an event stream open
MOST_ROWS = 40  # rows of the queue that are shown

FILES = {"picture": "result.png", "film": "progress.mp4", "settings": "settings.json"}


class QueueViews:
    """The queue and its jobs as values for JSON."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store, self.limits = store, limits
        self.closing = False
        self._read_at = 0.0
        self._open: list[tuple[Job, str, int]] = []
        self._ended: dict[int, float] = {}
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Read the store again if the last read is more than PULSE seconds old."""
        async with self._lock:
            if time.monotonic() - self._read_at > PULSE:
                self._open = await asyncio.to_thread(self.store.open_jobs)
                self._ended = await asyncio.to_thread(self.store.last_ended)
                self._read_at = time.monotonic()

    async def queue(self, person: Person) -> dict[str, Any]:
        """The queue as this person sees it: the first rows, and this person's own."""
        await self.refresh()
        own = [row for row in self._open if row[0].person == person.id]
        rows = [*self._open[:MOST_ROWS], *(row for row in own if row not in self._open[:MOST_ROWS])]
        ended = max(self._ended.values(), default=0) if self.limits.shared_gallery else self._ended.get(person.id, 0)
        return {
            "length": len(self._open),
            "waiting": max((place for *_, place in self._open), default=0),
            "rows": [self._row(row, person) for row in rows],
            "ended": ended,
        }

    async def progress(self, job: str) -> dict[str, Any]:
        """One job with its progress. Raises NoSuchJob."""
        await self.refresh()
        for open_job, _, place in self._open:
            if open_job.id == job:
                return self.view(open_job, place)
        return self.view(self.store.job(job), self.store.place(job))

    def view(self, job: Job, place: int) -> dict[str, Any]:
        """A job as its owner sees it. place: in the queue from 1; 0 if it does not wait."""
        address = f"/api/jobs/{job.id}"
        files = {} if job.is_open else {name: f"{address}/{name}" for name in FILES if self.file(job, name)}
        return {
            "id": job.id,
            "state": job.state,
            "place": place,
            "step": job.step,
            "steps": job.steps,
            "prompt": job.settings["prompt"],
            "seed": job.settings["seed"],
            "wish": request_from(job.settings),
            "error": job.error,
            "joined": job.joined,
            "ended": job.ended,
            "preview": f"{address}/preview?step={job.step}" if job.step else None,
            **{name: files.get(name) for name in FILES},
        }

    def preview(self, job: Job, step: int) -> Path | None:
        """The frame of this step, or the last frame before it; None before the first frame."""
        frames = layout.frames(self.store.runs / job.run)
        earlier = [path for path in frames if int(path.stem) <= step] or frames[:1]
        return earlier[-1] if earlier else None

    def file(self, job: Job, name: str) -> Path | None:
        """The path of a job's picture, film or settings, or None if it does not exist."""
        path = self.store.runs / job.run / FILES[name]
        return path if is_plain(path) else None

    def may_see(self, person: Person, job: Job) -> bool:
        """Whether a person may see a job: an own one, or with a shared gallery any finished one."""
        return job.person == person.id or (self.limits.shared_gallery and job.state == "done")

    def visible_job(self, person: Person, job: str) -> Job:
        """A job that this person may see. Raises NoSuchJob for any other."""
        record = self.store.job(job)
        if not self.may_see(person, record):
            raise NoSuchJob(f"there is no picture {job[:40]!r}")
        return record

    def own_job(self, person: Person, job: str) -> Job:
        """A job that this person may change. Raises NoSuchJob for any other."""
        record = self.store.job(job)
        if record.person != person.id:
            raise NoSuchJob(f"there is no picture {job[:40]!r}")
        return record

    async def stream(self, event: str, view: Callable[[], Any], *, until: Callable[[Any], bool]) -> AsyncIterator[str]:
        """Server-sent events: the view whenever it has changed, ending with the first for which `until` is true."""
        last, sent_at = None, time.monotonic()
        while not self.closing:
            try:
                now = await view()
            except NoSuchJob:
                return
            if now != last:
                last, sent_at = now, time.monotonic()
                yield f"event: {event}\ndata: {json.dumps(now, ensure_ascii=False)}\n\n"
            elif time.monotonic() - sent_at > SILENCE:
                sent_at = time.monotonic()
                yield ": alive\n\n"
            if until(now):
                return
            await asyncio.sleep(PULSE)

    def _row(self, row: tuple[Job, str, int], person: Person) -> dict[str, Any]:
        job, name, place = row
        mine = job.person == person.id
        if mine:
            return {**self.view(job, place), "name": "you", "mine": True}
        view = {"place": place, "name": public_name(name), "mine": False, "step": job.step, "steps": job.steps}
        return {**view, "prompt": job.settings["prompt"]} if self.limits.shared_gallery else view


def public_name(name: str) -> str:
    """A person's name as others see it."""
    if name.startswith(WITHOUT_TOKEN):
        return "a guest" if name.startswith("guest ") else "somebody on Discord"
    return name
