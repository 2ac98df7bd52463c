"""A sweep on Ray: two real workers with the demo perceptor paint what one process paints, whatever dies on the way."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.servers import free_port
from vqclip_nb import cli
from vqclip_nb.errors import RunError
from vqclip_nb.sweeps import cluster, ray_start, sweep_on_ray
from vqclip_nb.sweeps.items import make_items

ROOT = Path(__file__).parent.parent
SMALL = {"canvas": "pixels", "size": 32, "steps": 120, "cutn": 4, "device": "cpu", "save_every": "5", "every": 200}
ROWS = [{"prompt": "a red circle on a white background", "seed": seed} for seed in range(4)]
FILE = "settings: {}\ncross: {{prompt: [a red circle on a white background], seed: [0, 1, 2, 3]}}\n".format(
    "{" + ", ".join(f"{name}: {value!r}" for name, value in SMALL.items()) + "}"
)


class Signed(cluster.Painter):
    """Leaves a file with the number of its process for each item that it begins."""

    def paint(self, item, out):
        (Path(out) / f"begun-{item.name}-{os.getpid()}").touch()
        return super().paint(item, out)


class Dying(cluster.Painter):
    """Dies of one item."""

    def paint(self, item, out):
        if item.settings.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().paint(item, out)


@pytest.fixture
def alone(monkeypatch):
    """One thread, as a Ray worker with one CPU has it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return pytest.importorskip("ray")


def command(file, out, *more):
    words = [sys.executable, "-m", "vqclip_nb", "sweep", str(file), "--out", str(out), "--quiet", *more]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pixels(folder):
    return {path.parent.name: Image.open(path).tobytes() for path in sorted(Path(folder).glob("*/result.png"))}


def by_one_process(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(FILE)
    process = command(file, tmp_path / "one")
    message = process.communicate(timeout=300)
    assert process.returncode == 0, message
    return pixels(tmp_path / "one")


def wait_for(pattern, folder, seconds=240):
    end = time.monotonic() + seconds
    while not (found := sorted(folder.glob(pattern))):
        assert time.monotonic() < end, f"no {pattern}"
        time.sleep(0.02)
    return found[0]


def steps(folder, loss):
    lines = (line.split(",") for line in (folder / "losses.csv").read_text().splitlines()[1:])
    return [int(step) for step, _, name, *_ in lines if name == loss]


@pytest.mark.long
def test_a_worker_that_is_killed_in_mid_item_loses_nothing_and_nothing_is_painted_twice(tmp_path, alone):
    out = tmp_path / "many"
    killed = []

    def kill():
        state = wait_for("*/state/*.safetensors", out)
        name = state.parent.parent.name
        marker = wait_for(f"begun-{name}-*", out)
        killed.append(name)
        os.kill(int(marker.name.rpartition("-")[2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    items = make_items(ROWS, SMALL)
    results = list(sweep_on_ray(items, out, workers=2, painter=Signed))
    killer.join()
    assert sorted(result.state for result in results) == ["painted"] * 4
    assert len(list(out.glob(f"begun-{killed[0]}-*"))) == 2, "by the dead worker, and by the one that went on"
    assert len(list(out.glob("begun-*"))) == 5
    for item in items:
        assert steps(out / item.name, "smoothness") == [*range(1, 121)], "each step once"
    assert pixels(out) == by_one_process(tmp_path)
    again = list(sweep_on_ray(items, out, workers=2, painter=Signed))
    assert [result.state for result in again] == ["there"] * 4


@pytest.mark.long
def test_an_item_that_kills_each_worker_is_named_and_the_others_are_painted(tmp_path, alone):
    items = make_items(ROWS[:3], {**SMALL, "steps": 3})
    results = {result.item.settings.seed: result for result in sweep_on_ray(items, tmp_path, workers=1, painter=Dying)}
    assert {seed: result.state for seed, result in results.items()} == {0: "painted", 1: "failed", 2: "painted"}
    assert results[1].error == "its worker died 3 times"


@pytest.mark.long
def test_stop_ends_the_workers_after_their_step_and_a_second_call_goes_on(tmp_path, alone):
    items = make_items(ROWS, {**SMALL, "steps": 5000})
    stop = lambda: bool(list(tmp_path.glob("*/state/*.safetensors")))  # noqa: E731
    results = list(sweep_on_ray(items, tmp_path, workers=2, stop=stop))
    assert 1 <= len(results) <= 2
    assert {result.state for result in results} == {"stopped"}


@pytest.mark.long
def test_after_the_head_was_killed_and_started_again_the_same_command_goes_on(tmp_path, alone):
    port, out, file = free_port(), tmp_path / "many", tmp_path / "many.yaml"
    file.write_text(FILE)
    heads, place = [], tempfile.mkdtemp(prefix="vq", dir="/tmp")  # short, since names of sockets must be

    def start_head():
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
        words += ["--num-cpus=2", "--include-dashboard=false", "--temp-dir", place]
        head = subprocess.Popen(
            words, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        heads.append(head)
        for line in head.stdout:
            if "block forever" in line:
                return
        raise AssertionError("Ray did not start")

    def kill_head():
        os.killpg(heads[-1].pid, signal.SIGKILL)
        heads[-1].wait()

    try:
        start_head()
        first = command(file, out, "--address", f"127.0.0.1:{port}")
        wait_for("*/state/*.safetensors", out)
        kill_head()
        _, message = first.communicate(timeout=120)
        assert first.returncode == 2, message
        assert re.search(r"vqclip: the Ray at \S+ is gone; the same command continues", message)
        assert len(pixels(out)) < 4
        begun = {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/settings.json")}
        start_head()
        second = command(file, out, "--address", f"127.0.0.1:{port}")
        printed, message = second.communicate(timeout=300)
        assert second.returncode == 0, message
        assert "0 failed" in printed
    finally:
        kill_head()
        shutil.rmtree(place, ignore_errors=True)
    now = {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/settings.json")}
    assert begun.items() <= now.items(), "what was begun was gone on with"
    assert pixels(out) == by_one_process(tmp_path)


def test_an_address_that_does_not_answer_is_one_line(tmp_path, capsys, alone):
    start = time.monotonic()
    for address, message in (("127.0.0.1:1", "no Ray answers at"), ("nowhere", "must be host:port or auto")):
        with pytest.raises(RunError, match=message) as error:
            next(sweep_on_ray(make_items(ROWS, SMALL), tmp_path, address=address))
        assert "\n" not in str(error.value)
        assert repr(address) in str(error.value)
    assert time.monotonic() - start < 2 * ray_start.CONNECT_TIMEOUT
    with pytest.raises(RunError, match="workers must be 1 or more, got 0"):
        next(sweep_on_ray(make_items(ROWS, SMALL), tmp_path, workers=0))
    file = tmp_path / "a.txt"
    file.write_text("a red circle")
    assert cli.main(["sweep", str(file), "--workers", "2"]) == 2
    assert "add --ray" in capsys.readouterr().err


def test_without_the_extra_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "vqclip_nb\[ray\]"'):
        next(sweep_on_ray(make_items(ROWS, SMALL), tmp_path))
