"""The batch writer: jobs that arrive at the same moment are written to the disk together."""

import asyncio

from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.records import Job, Person, QueueFull
from vqclip_nb.queue.store import Store
from vqclip_nb.settings import Settings


class BatchWriter:
    """Adds jobs to a store. One write runs at a time; jobs that arrive meanwhile go into the next."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store, self.limits = store, limits
        self._pending: list[tuple[Person, Settings, asyncio.Future[tuple[Job, int]]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, person: Person, settings: Settings) -> tuple[Job, int]:
        """Add a job. Returns it and its place in the queue, once it is on the disk. Raises QueueFull, StoreBroken."""
        future: asyncio.Future[tuple[Job, int]] = asyncio.get_running_loop().create_future()
        self._pending.append((person, settings, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                added, order = await asyncio.to_thread(self._add, [(person, settings) for person, settings, _ in batch])
            except Exception as error:
                for *_, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (*_, future), job in zip(batch, added, strict=True):
                if future.done():  # the client has disconnected
                    continue
                if isinstance(job, QueueFull):
                    future.set_exception(job)
                else:
                    future.set_result((job, order.get(job.id, 0)))

    def _add(self, requests: list[tuple[Person, Settings]]) -> tuple[list[Job | QueueFull], dict[str, int]]:
        added = self.store.add_all(requests, self.limits)
        return added, {job: place for place, job in enumerate(self.store.order(), start=1)}
