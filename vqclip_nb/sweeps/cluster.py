"""A sweep on Ray: one actor on each GPU, or on each CPU, that loads the models once and pulls item after item."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from vqclip_nb.errors import RunError
from vqclip_nb.sweeps.items import Item
from vqclip_nb.sweeps.paint import TRIES, paint_item
from vqclip_nb.sweeps.ray_start import RayWorker, actor_class, check, connect, is_listening
from vqclip_nb.sweeps.results import Result, check_writable, complete, last_losses, result_log

START = 180  # seconds in which the first worker must be ready
HEARTBEAT = 5  # seconds between two checks that Ray is still there
POLL_INTERVAL = 0.2  # seconds between two calls of `stop`


class Painter(RayWorker):
    """The actor: paints one item after another."""

    def paint(self, item: Item, out: str) -> Result:
        """Paint an item in its folder under `out`, after waiting for any worker of an earlier call to release it."""
        self.wait_for(Path(out) / item.name)
        return paint_item(item, Path(out), lambda: self.stopping)


def sweep_on_ray(
    items: Sequence[Item],
    out: str | Path = "sweep",
    *,
    address: str | None = None,
    workers: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    painter: type = Painter,
) -> Iterator[Result]:
    """Paint the items on Ray's workers; yields the result of each when it is finished, in any order.

    As in `sweep`, complete items are skipped and interrupted ones resumed. `out` must be the same folder on all
    machines. If a worker dies, another one paints its item; after three deaths the item has failed.

    address: "host:port" of a cluster, or "auto"; None starts Ray on this machine. workers: the maximum number; None is
    the number of GPUs, or without a GPU of CPUs. Raises ImportError without the extra `ray`, RunError.
    """
    check(address, workers)
    import ray

    out = Path(out).absolute()
    with result_log(out) as log:
        connect(address, workers)
        token = out / f".{uuid4().hex}.part"
        token.touch()
        try:
            for result in _Driver(items, out, token, workers, stop, painter).run():
                log(result)
                yield result
                if result.state == "failed":
                    check_writable(out)
        finally:
            token.unlink(missing_ok=True)
            ray.shutdown()


class _Driver:
    """Gives each worker its next item when it is ready, and gives a dead worker's item to another worker."""

    def __init__(
        self,
        items: Sequence[Item],
        out: Path,
        token: Path,
        workers: int | None,
        stop: Callable[[], bool],
        painter: type,
    ) -> None:
        import ray

        self._ray, self._out, self._token, self._stop = ray, out, token, stop
        self._waiting = deque(items)
        self._busy: dict[Any, tuple[Any, Item | None]] = {}  # by Ray's future: the worker and its item
        self._deaths: Counter[str] = Counter()
        self._stopped = self._started = False
        self._head = ray.get_runtime_context().gcs_address
        count, self._actor = actor_class(painter, workers)
        self._count = min(count, len(items)) or 1

    def run(self) -> Iterator[Result]:
        """Yield the result of each item when it is finished."""
        for _ in range(self._count):
            self._start_actor()
        started_at = checked_at = time.monotonic()
        while self._busy:
            if self._stop() and not self._stopped:
                self._stopped = True
                self._waiting.clear()
                for actor, _ in self._busy.values():
                    actor.stop.remote()
            if time.monotonic() - checked_at > HEARTBEAT:
                checked_at = time.monotonic()
                if not is_listening(self._head):
                    raise RunError(f"the Ray at {self._head!r} is gone; the same command continues with the rest")
            answers, _ = self._ray.wait(list(self._busy), timeout=POLL_INTERVAL)
            for answer in answers:
                yield from self._on_answer(answer)
            if not self._started and time.monotonic() - started_at > START:
                raise RunError(f"no Ray worker was ready within {START} seconds; `ray status` says what it waits for")

    def _on_answer(self, answer: Any) -> Iterator[Result]:
        """Handle a worker that has finished its item, has died, or is ready for its first item."""
        actor, item = self._busy.pop(answer)
        try:
            value = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            yield from self._on_death(item, error)
            return
        self._started = True
        if item is not None:
            yield value
        elif not value:
            raise RunError(f"out must be a folder that all of Ray's machines share, got {str(self._out)!r}")
        yield from self._give(actor)

    def _give(self, actor: Any) -> Iterator[Result]:
        """Give a worker the next item that is not complete, or end the worker."""
        while self._waiting:
            item = self._waiting.popleft()
            folder = self._out / item.name
            if not complete(folder):
                self._busy[actor.paint.remote(item, str(self._out))] = actor, item
                return
            yield Result(item, folder, "there", losses=last_losses(folder))
        self._stop_actor(actor)

    def _on_death(self, item: Item | None, error: Exception) -> Iterator[Result]:
        """Put a dead worker's item first in the queue and start another. Raises RunError if none has started."""
        if item is None and not self._started:
            message = str(error).strip().splitlines()[-1]
            raise RunError(f"a Ray worker could not be started: {message}; each machine needs this vqclip_nb") from None
        if item is not None:
            self._deaths[item.name] += 1
            if self._deaths[item.name] > TRIES:
                reason = f"its worker died {self._deaths[item.name]} times"
                yield Result(item, self._out / item.name, "failed", reason)
            elif self._stopped:
                yield Result(item, self._out / item.name, "stopped")
            else:
                self._waiting.appendleft(item)
        if self._waiting:
            self._start_actor()

    def _stop_actor(self, actor: Any) -> None:
        self._ray.kill(actor)

    def _start_actor(self) -> None:
        actor = self._actor.remote()
        self._busy[actor.ready.remote(str(self._token))] = actor, None
