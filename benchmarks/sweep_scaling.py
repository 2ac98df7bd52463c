"""How a sweep grows with its workers: `OMP_NUM_THREADS=1 python benchmarks/sweep_scaling.py`. Needs the extra `ray`.

One process against one and more workers of Ray on this machine; then the real driver with 8, 64 and 512 workers that
only wait as long as a picture took here, give or take a half, and with 512 that do not wait at all: where the driver
saturates. At last, whether several pictures are painted faster as the variations of one batch than alone.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vqclip_nb import Settings, paint
from vqclip_nb.models import shared
from vqclip_nb.sweeps import Item, Result, cluster, sweep, sweep_on_ray
from vqclip_nb.sweeps.items import make_items

PROMPT = "a red house by the sea at sunset, an oil painting"
WAITERS = (8, 64, 512)


class Counted(cluster.Painter):
    """Says of each picture how many seconds of a processor it took, which other programs do not lengthen so much."""

    def paint(self, item: Item, out: str) -> Result:
        """As `Painter` does."""
        before = time.process_time()
        result = super().paint(item, out)
        return replace(result, seconds=time.process_time() - before)


class Waiter:
    """All the workers of a simulation: what `Painter` does, but a picture takes a given time and no work."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def ready(self, token: str) -> bool:
        """Always."""
        return True

    async def paint(self, item: Item, out: str) -> Result:
        """Wait as long as a picture takes."""
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1.5))
        return Result(item, Path(out) / item.name, "painted", "", self._seconds, {item.settings.prompt: 0.5})


class WaitingDriver(cluster._Driver):
    """The real driver, with so many workers in one process that only waits."""

    count, seconds = 8, 0.0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._count = self.count
        actor = self._ray.remote(Waiter).options(max_concurrency=2 * self.count, num_cpus=0)
        self._shared = actor.remote(self.seconds)
        self._ray.get(self._shared.ready.remote(""))

    def _start_actor(self) -> None:
        self._busy[self._shared.ready.remote("")] = self._shared, None

    def _stop_actor(self, actor: Any) -> None:
        """It is the process of all the others too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures here as well")
    parser.add_argument("--pictures", type=int, default=8, help="of the sweep that is painted (default: 8)")
    parser.add_argument("--steps", type=int, default=30, help="of each picture (default: 30)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="of Ray (default: 1 2)")
    arguments = parser.parse_args()
    rows = [{"prompt": PROMPT, "seed": seed} for seed in range(arguments.pictures)]
    items = make_items(rows, {"steps": arguments.steps, "quiet": True})
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "pictures": arguments.pictures,
        "steps": arguments.steps,
        "one process": painted(items, one_process),
    }
    for count in arguments.workers:
        figures[f"Ray, workers: {count}"] = painted(items, partial(sweep_on_ray, workers=count, painter=Counted))
    service = figures["one process"]["processor seconds a picture"]
    for count in WAITERS:
        figures[f"workers that wait: {count}"] = simulated(count, service)
    figures["driver alone"] = simulated(WAITERS[-1], 0.0)
    turns = [{count: batched(count) for count in (1, 4)} for _ in range(3)]
    figures["processor seconds a step for a picture"] = {
        f"{count} at once": min(turn[count] for turn in turns) for count in (1, 4)
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


def one_process(items: list[Item], out: Path) -> Iterator[Result]:
    """A sweep without Ray, with processor seconds."""
    before = time.process_time()
    for result in sweep(items, out):
        yield replace(result, seconds=time.process_time() - before)
        before = time.process_time()


def painted(items: list[Item], run: Callable[..., Any]) -> dict[str, float]:
    """Paint a sweep; the time from the first picture to the last, so that the start is apart."""
    out = Path(tempfile.mkdtemp())
    start_time, at, used = time.perf_counter(), [], []
    for result in run(items, out):
        assert result.state == "painted", result.error
        at.append(time.perf_counter() - start_time)
        used.append(result.seconds)
    shutil.rmtree(out)
    return {
        "seconds in all": round(at[-1], 1),
        "until the first": round(at[0], 1),
        "seconds a picture": round((at[-1] - at[0]) / (len(at) - 1), 2),
        "processor seconds a picture": round(statistics.median(used), 2),
    }


def simulated(workers: int, seconds: float) -> dict[str, float]:
    """The real driver with workers that wait: pictures a second, of what so many workers could do."""
    count = 6 * workers if seconds else 2000
    items = [Item(Settings(prompt=PROMPT, seed=seed), {"seed": seed}) for seed in range(count)]
    out = Path(tempfile.mkdtemp())
    driver = type("Driver", (WaitingDriver,), {"count": workers, "seconds": seconds})
    before, cluster._Driver = cluster._Driver, driver  # type: ignore[misc]
    try:
        at, used = [], 0.0
        for _ in sweep_on_ray(items, out, workers=1):
            used = used or time.process_time()
            at.append(time.perf_counter())
        used = time.process_time() - used
    finally:
        cluster._Driver = before  # type: ignore[misc]
        shutil.rmtree(out)
    middle = at[workers:-workers] if seconds else at  # while all of them work, and not in step
    rate = (len(middle) - 1) / (middle[-1] - middle[0])
    figures = {"pictures a second": round(rate, 1), "driver, ms a picture": round(1000 * used / count, 2)}
    return figures | ({"possible": round(workers / seconds, 1)} if seconds else {})


def batched(count: int, steps: int = 6) -> float:
    """Processor seconds a step takes for each picture of so many variations, at the default size, after the first."""
    with shared.keep_loaded():
        frames = paint(Settings(prompt=PROMPT, variations=count, steps=steps + 1, quiet=True))
        next(frames)
        start = time.process_time()
        for _ in frames:
            pass
    return round((time.process_time() - start) / steps / count, 3)


if __name__ == "__main__":
    main()
