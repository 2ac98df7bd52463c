"""A painting that is killed at any moment leaves whole files, and goes on with at most one interval lost."""

import csv
import json
import multiprocessing
import random
import sys
import time

import pytest
from PIL import Image

from tests import crash_worker
from tests.toys import toy_models
from vqclip_nb.runs import checkpoint
from vqclip_nb.runs.background_writer import LOCK
from vqclip_nb.session import resume, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
READERS = {
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".csv": lambda path: [(step, _, name, float(value)) for step, _, name, value in list(csv.reader(path.open()))[1:]],
    ".jpg": lambda path: Image.open(path).load(),
    ".png": lambda path: Image.open(path).load(),
    ".safetensors": checkpoint.unpack,
    ".mp4": lambda path: path.read_bytes() == b"film" or pytest.fail("half a film"),
}


def outcome(folder):
    """What a finished run has to show."""
    pictures = sorted(folder.glob("frames/*.jpg")) + sorted(folder.glob("result*.png"))
    return {path.name: path.read_bytes() for path in (*pictures, folder / "losses.csv")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return unharmed(tmp_path_factory, film=False)


@pytest.fixture(scope="module")
def expected_film(tmp_path_factory):
    return unharmed(tmp_path_factory, film=True)


def unharmed(tmp_path_factory, film):
    """What the run shows that nobody killed, how long it takes in a process of its own, and that process."""
    out = tmp_path_factory.mktemp("whole")
    with toy_models(), crash_worker.no_film():
        active = start(crash_worker.settings(out, film))
        list(active)
        whole = outcome(active.record.finish(active.painting).parent)
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["tests.crash_worker"])
    for _ in range(2):  # the first one waits for the imports
        began = time.perf_counter()
        reached = fork.RawValue("i")
        process = fork.Process(target=crash_worker.paint, args=(out, reached, None, "", film))
        process.start()
        process.join()
        assert process.exitcode == 0
    return whole, time.perf_counter() - began, fork


@pytest.mark.parametrize(
    "trials",
    [
        pytest.param(range(20), id="20"),
        pytest.param(range(200), id="200", marks=pytest.mark.long),
    ],
)
def test_wherever_it_is_killed_it_resumes(tmp_path, expected, trials):
    kill_and_resume(tmp_path, expected, trials, film=False)


@pytest.mark.parametrize(
    "trials",
    [
        pytest.param(range(10), id="10"),
        pytest.param(range(200), id="200", marks=pytest.mark.long),
    ],
)
def test_a_film_that_is_killed_at_any_frame_resumes(tmp_path, expected_film, trials):
    kill_and_resume(tmp_path, expected_film, trials, film=True)


def kill_and_resume(tmp_path, expected, trials, film):
    whole, lasts, fork = expected
    stopped = []
    for trial in trials:
        # A value without a lock, which a killed process would hold for ever.
        chance, out, reached = random.Random(trial), tmp_path / str(trial), fork.RawValue("i")
        saving = trial % 2 == 1  # every other one dies while a file is written, the rest at any time
        process = fork.Process(
            target=crash_worker.paint, args=(out, reached, chance.randint(1, 26) if saving else None, "", film)
        )
        process.start()
        if not saving:
            step = chance.randrange(crash_worker.STEPS)
            while process.is_alive() and reached.value < step:
                time.sleep(0.0005)
            time.sleep(chance.uniform(0, lasts / crash_worker.STEPS))
            process.kill()
        process.join()
        for folder in out.glob("[!.]*"):
            stopped.append(taken_up(folder, reached.value))
            assert outcome(folder) == whole, f"trial {trial}"
    assert len(set(stopped)) > 3, "they were killed at different steps"


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_kill_while_a_state_is_written_costs_that_state_alone(tmp_path, expected, nth):
    whole, _, fork = expected
    reached = fork.RawValue("i")
    process = fork.Process(target=crash_worker.paint, args=(tmp_path, reached, nth, ".safetensors"))
    process.start()
    process.join()
    (folder,) = tmp_path.glob("[!.]*")
    moved = nth % 3 == 2  # it died just after, and not half-way or before the file was moved
    saved = [int(path.stem) for path in folder.glob("state/*.safetensors")]
    assert max(saved, default=0) == crash_worker.INTERVAL * (nth if moved else nth - 1)
    assert taken_up(folder, reached.value) == max(saved, default=0)
    assert outcome(folder) == whole


def taken_up(folder, reached):
    """Check that all files are whole, and paint to the end; returns where it had to begin again."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.endswith((".part", LOCK)):
            READERS[path.suffix](path)
    with toy_models(), crash_worker.no_film():
        active = resume(folder)
        begun_at = active.painting.step_count
        assert reached - begun_at <= crash_worker.INTERVAL
        if begun_at < crash_worker.STEPS:
            list(active)
            active.record.finish(active.painting)
    assert not list(folder.rglob("*.part"))
    return begun_at
