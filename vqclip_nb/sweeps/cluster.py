"""A sweep on Ray: one actor on each GPU, or on each CPU, that loads the models once and pulls item after item."""

import os
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from vqclip_nb.errors import RunError
from vqclip_nb.models import shared
from vqclip_nb.runs.background_writer import check_free
from vqclip_nb.sweeps.items import Item
from vqclip_nb.sweeps.paint import TRIES, paint_item
from vqclip_nb.sweeps.results import Result, check_writable, complete, last_losses, logged

ANSWER = 10  # seconds that an address has to answer
START = 180  # seconds in which the first worker must be ready
LEFT = 90  # seconds in which a worker ends whose Ray is gone
HEARTBEAT = 5  # seconds between two looks whether Ray is still there
LOOK = 0.2  # seconds between two looks whether to stop


class Painter:
    """What an actor does: paints one item after another, the models loaded once for all of them."""

    def __init__(self) -> None:
        self._stopping = False
        self._models = shared.keep_loaded()
        self._models.__enter__()

    def ready(self, token: str) -> bool:
        """Whether this worker is on the machine, or shares the disk, where `token` is a file."""
        return Path(token).is_file()

    def paint(self, item: Item, out: str) -> Result:
        """Paint an item in its folder under `out`, once no worker of an earlier call is still at it."""
        begun = time.monotonic()
        while time.monotonic() - begun < LEFT and not self._stopping:
            try:
                check_free(Path(out) / item.name)
                break
            except RunError:
                time.sleep(1)
        return paint_item(item, Path(out), lambda: self._stopping)

    def stop(self) -> None:
        """End what is being painted after this step."""
        self._stopping = True


def sweep_on_ray(
    items: Sequence[Item],
    out: str | Path = "sweep",
    *,
    address: str | None = None,
    workers: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    painter: type = Painter,
) -> Iterator[Result]:
    """Paint the items on Ray's workers; yields what became of each as it comes, in no order.

    As `sweep`: what is complete is left, what was cut is resumed. `out` must be the same folder on all machines. An
    item whose worker dies is given to another, and after three deaths it failed. address: "host:port" of a cluster, or
    "auto"; without one Ray is started on this machine. workers: at most so many; without it as many as there are GPUs,
    or else CPUs. Raises ImportError without the extra, RunError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ImportError('a sweep on Ray needs another package: `pip install "vqclip_nb[ray]"`') from None
    if workers is not None and workers < 1:
        raise RunError(f"workers must be 1 or more, got {workers}")
    out = Path(out).absolute()
    with logged(out) as log:
        _connect(address, workers)
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
    """Gives each worker an item when it has finished the one before, and gives what a dead worker had to another."""

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
        self._busy: dict[Any, tuple[Any, Item | None]] = {}  # by what Ray will answer: the worker, and its item
        self._deaths: Counter[str] = Counter()
        self._stopped = self._started = False
        self._head = ray.get_runtime_context().gcs_address
        gpus, cpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
        self._count = min(workers or gpus or cpus, gpus or cpus, len(items)) or 1
        needs = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
        self._actor: Any = ray.remote(painter).options(max_concurrency=2, **needs)  # it hears `stop` while it paints

    def run(self) -> Iterator[Result]:
        """What became of each item, as it comes."""
        for _ in range(self._count):
            self._hire()
        begun = heard = time.monotonic()
        while self._busy:
            if self._stop() and not self._stopped:
                self._stopped = True
                self._waiting.clear()
                for actor, _ in self._busy.values():
                    actor.stop.remote()
            if time.monotonic() - heard > HEARTBEAT:
                heard = time.monotonic()
                if not _listens(self._head):
                    raise RunError(f"the Ray at {self._head!r} is gone; the same command goes on with what is left")
            answers, _ = self._ray.wait(list(self._busy), timeout=LOOK)
            for answer in answers:
                yield from self._answered(answer)
            if not self._started and time.monotonic() - begun > START:
                raise RunError(f"no Ray worker was ready within {START} seconds; `ray status` says what it waits for")

    def _answered(self, answer: Any) -> Iterator[Result]:
        """A worker has finished its item, or has died of it, or is ready for its first."""
        actor, item = self._busy.pop(answer)
        try:
            value = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            yield from self._lost(item, error)
            return
        self._started = True
        if item is not None:
            yield value
        elif not value:
            raise RunError(f"out must be a folder that all of Ray's machines share, got {str(self._out)!r}")
        yield from self._give(actor)

    def _give(self, actor: Any) -> Iterator[Result]:
        """Give a worker the next item that is to be painted, or let it go."""
        while self._waiting:
            item = self._waiting.popleft()
            folder = self._out / item.name
            if not complete(folder):
                self._busy[actor.paint.remote(item, str(self._out))] = actor, item
                return
            yield Result(item, folder, "there", losses=last_losses(folder))
        self._dismiss(actor)

    def _lost(self, item: Item | None, error: Exception) -> Iterator[Result]:
        """A worker is dead: its item comes first in the queue, and another worker is hired."""
        if item is None and not self._started:
            said = str(error).strip().splitlines()[-1]
            raise RunError(f"a Ray worker could not be started: {said}; each machine needs this vqclip_nb") from None
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
            self._hire()

    def _dismiss(self, actor: Any) -> None:
        self._ray.kill(actor)

    def _hire(self) -> None:
        actor = self._actor.remote()
        self._busy[actor.ready.remote(str(self._token))] = actor, None


def _start(workers: int | None, **quiet: Any) -> None:
    """Start Ray on this machine. Raises RunError."""
    import ray

    for attempt in range(TRIES):
        try:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
            return
        except Exception as error:  # such as a machine too busy to start it within half a minute
            ray.shutdown()
            if attempt + 1 == TRIES:
                said = str(error).strip().partition("\n")[0]
                raise RunError(f"Ray could not be started on this machine: {said}") from None


def _connect(address: str | None, workers: int | None) -> None:
    """Start Ray on this machine, or join the cluster at an address. Raises RunError."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        _start(workers, **quiet)
        return
    remedy = "`ray start --head` starts one, and --ray without an address needs none"
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or "/" in address:
            raise RunError(f"address must be host:port or auto, got {address!r}")
        if not _listens(address):
            raise RunError(f"no Ray answers at {address!r}; {remedy}")
    try:
        ray.init(address=address, **quiet)
    except (Exception, SystemExit) as error:  # Ray exits where something else answers at the address
        if "AuthenticationError" in "".join(traceback.format_exception(error)):
            said = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it"
            raise RunError(f"the Ray at {address!r} wants its token; {said}") from None
        raise RunError(f"no Ray answers at {address!r}; {remedy}") from None


def _listens(address: str) -> bool:
    """Whether something answers at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
    except (OSError, OverflowError):
        return False
    return True
