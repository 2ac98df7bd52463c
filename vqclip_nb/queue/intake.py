"""The intake: jobs that arrive at the same moment are written to the disk together."""

import asyncio

from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.records import Job, Person, QueueFull
from vqclip_nb.queue.store import Store
from vqclip_nb.settings import Settings


class Intake:
    """Takes jobs for a store. One write is on its way at a time; what comes meanwhile goes into the next."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store, self.limits = store, limits
        self._coming: list[tuple[Person, Settings, asyncio.Future[tuple[Job, int]]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, person: Person, settings: Settings) -> tuple[Job, int]:
        """The job, once it is on the disk, and its place in the queue. Raises QueueFull, StoreBroken."""
        written: asyncio.Future[tuple[Job, int]] = asyncio.get_running_loop().create_future()
        self._coming.append((person, settings, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await written

    async def _write(self) -> None:
        while self._coming:
            batch, self._coming = self._coming, []
            try:
                added, order = await asyncio.to_thread(self._add, [(person, wanted) for person, wanted, _ in batch])
            except Exception as error:
                for *_, written in batch:
                    if not written.done():
                        written.set_exception(error)
                continue
            for (*_, written), job in zip(batch, added, strict=True):
                if written.done():  # who asked has left
                    continue
                if isinstance(job, QueueFull):
                    written.set_exception(job)
                else:
                    written.set_result((job, order.get(job.id, 0)))

    def _add(self, wanted: list[tuple[Person, Settings]]) -> tuple[list[Job | QueueFull], dict[str, int]]:
        added = self.store.add_all(wanted, self.limits)
        return added, {job: place for place, job in enumerate(self.store.order(), start=1)}
