"""The queue on Ray: two real actors paint what one process paints, whatever dies on the way."""

import csv
import os
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.test_queue import LIMITS, ROOT, add, paint_all, store, toys, wait_for  # noqa: F401
from vqclip_nb import cli
from vqclip_nb.queue.on_ray import JobPainter
from vqclip_nb.queue.workers import Workers
from vqclip_nb.queue.workspace import JobWorkspace
from vqclip_nb.sweeps import ray_start

TOY_PROGRAM = [sys.executable, str(ROOT / "tests" / "toy_on_ray.py"), "--workers", "2"]
if "RAY_ADDRESS" in os.environ:  # on a Ray that is there already
    TOY_PROGRAM += ["--address", os.environ["RAY_ADDRESS"]]


def processes(store, job):  # noqa: F811
    """The actors that have taken a job."""
    return [int(path.name.rpartition("-")[2]) for path in store.folder.glob(f"taken-{job}-*")]


@pytest.mark.long
def test_killed_actors_and_a_killed_driver_lose_nothing_and_nothing_is_painted_twice(store, monkeypatch):  # noqa: F811
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    jobs = [*add(store, "ada", 2, steps=300), *add(store, "bob", 2, steps=300)]
    with Workers(store, LIMITS, program=TOY_PROGRAM) as workers:
        wait_for(lambda: any(20 < store.job(job).step < 200 for job in jobs), 300)
        victim = next(job for job in jobs if store.job(job).step > 20)
        (first,) = processes(store, victim)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len(processes(store, victim)) == 2, 300)
        wait_for(lambda: any(store.job(job).step > 20 and store.job(job).state == "painting" for job in jobs[2:]), 300)
        workers._running["worker-1"].kill()  # with the Ray that it had started
        wait_for(lambda: all(store.job(job).state == "done" for job in jobs), 300)
    for job in jobs:
        folder = store.runs / store.job(job).run
        assert store.job(job).step == 300
        rows = list(csv.DictReader((folder / "losses.csv").open()))
        steps = [int(row["step"]) for row in rows if row["name"] == "smoothness"]
        assert steps == [*range(1, 301)], "each step once"
        assert len(processes(store, job)) <= 3
    assert len(list(store.runs.iterdir())) == 4
    again = [*add(store, "eve", 2, steps=300)]
    paint_all(store)
    for job, same in zip(jobs[:2], again, strict=True):
        pictures = [Image.open(store.runs / store.job(each).run / "result.png").tobytes() for each in (job, same)]
        assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workers", "2"], "--workers is an option for Ray; add --ray, or --address HOST:PORT, or repeat --device"),
        (["--ray", "--workers", "0"], "workers must be 1 or more, got 0"),
        (["--ray", "--device", "cpu"], "Ray uses all devices; leave out --device, or --ray and --address"),
        (["--address", "nowhere"], "address must be host:port or auto, got 'nowhere'"),
        (["--address", "127.0.0.1:1"], "no Ray answers at '127.0.0.1:1'; `ray start --head` starts one"),
        ([], "no Ray answers at '127.0.0.1:2'"),
    ],
)
def test_a_ray_that_cannot_be_had_is_one_line_and_leaves_nothing(words, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_start, "find_spec", lambda name: True)
    if not words:
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    assert cli.main(["serve", *words]) == 2
    output = capsys.readouterr().err
    assert sentence in output
    assert len(output.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_slate_tells_jobs_apart_and_passes_a_cancelling_on():
    painter = JobPainter.__new__(JobPainter)
    painter._workspace = JobWorkspace("a", Path(), Path())
    assert painter._workspace.progress("a", 7)
    assert painter.look("b", False) == 0, "the job before, where the new one has not begun"
    assert painter._workspace.progress("a", 8)
    assert painter.look("a", False) == 8
    assert not painter._workspace.progress("a", 9)
