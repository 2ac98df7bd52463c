"""The queue: fair turns, jobs that outlive everything, and nothing taken from outside but what is allowed."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.toys import toy_models
from vqclip_nb.errors import RunError, SettingsError
from vqclip_nb.queue import Limits, Store
from vqclip_nb.queue.job_requests import request_from, settings_from
from vqclip_nb.queue.limits import EXAMPLE
from vqclip_nb.queue.records import Ending, QueueFull, StoreBroken, UnknownToken
from vqclip_nb.queue.worker import paint_safely, work
from vqclip_nb.queue.workers import FolderInUse, Workers, clean
from vqclip_nb.runs.reader import RunInfo

ROOT = Path(__file__).parent.parent
LIMITS = Limits(canvases=("pixels", "vqgan/demo"), perceptors=("toy", "demo"), jobs_a_person=3, jobs_in_all=6)
SMALL = {"prompt": "red", "size": [32, 32], "steps": 4, "cutn": 2}
TOY_WORKER = (sys.executable, str(ROOT / "tests" / "toy_worker.py"))


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr("vqclip_nb.video._encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    monkeypatch.setattr("vqclip_nb.runs.metadata.model_hashes", lambda settings: {})
    with toy_models():
        yield


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "queue")
    yield store
    store.close()


def job_settings(**more):
    return settings_from({**SMALL, **more}, LIMITS)


def add(store, name, count=1, **more):
    """Jobs of a person; their names are the person's with a number."""
    person = store.without_token("guest", name)
    return [store.add(person, job_settings(seed=seed, **more), LIMITS).id for seed in range(count)]


def paint_all(store, until=lambda: False):
    """Let a worker of this process paint until nothing is left, or `until` says so."""
    stop = threading.Event()
    paint = lambda job: paint_safely(job, store, device="cpu", stop=stop.is_set)  # noqa: E731
    worker = threading.Thread(target=work, args=(store, "worker-1", stop, paint))
    worker.start()
    for _ in range(1200):
        if until() or not store.open_jobs():
            break
        time.sleep(0.05)
    stop.set()
    worker.join()


def wait_for(condition, seconds=60):
    for _ in range(seconds * 20):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_nobody_waits_while_anothers_second_picture_is_painted(store):
    first = add(store, "ada", 3)
    second = add(store, "bob", 2)
    assert store.order() == [first[0], second[0], first[1], second[1], first[2]]
    assert store.claim("worker-1").id == first[0]
    (late,) = add(store, "eve")
    assert store.order() == [second[0], late, first[1], second[1], first[2]], (
        "ada's second comes after everybody's first"
    )
    assert [store.place(job) for job in (second[0], late, first[2], first[0])] == [1, 2, 5, 0]


def test_turns_go_round_whatever_comes_in_between(store):
    """By a model that is written anew: of those who wait, the one served longest ago, then who came first."""
    import random

    draw, served, waiting, turn = random.Random(4), {}, [], 0
    names = "abcdef"
    for _ in range(300):
        name = draw.choice(names)
        if draw.random() < 0.5 and sum(who == name for who, _ in waiting) < 3 and len(waiting) < 6:
            waiting += [(name, job) for job in add(store, name)]
        elif waiting:
            heads = dict(reversed(waiting))
            who = min(heads, key=lambda who: (served.get(who, 0), [w for w, _ in waiting].index(who)))
            turn += 1
            served[who] = turn
            claimed = store.claim("worker-1")
            assert claimed.id == heads[who]
            waiting.remove((who, claimed.id))
            store.end(claimed.id, Ending("done"))


def test_limits_of_a_person_and_of_all_are_one_line_each(store):
    add(store, "ada", 3)
    with pytest.raises(QueueFull, match="you have 3 pictures in the queue"):
        add(store, "ada")
    add(store, "bob", 3)
    with pytest.raises(QueueFull, match="the queue is full with 6 pictures"):
        add(store, "eve")


def test_who_reads_does_not_wait_for_a_write_to_reach_the_disk(store):
    jobs, seen = add(store, "ada", 2), []
    with store._writing():
        reader = threading.Thread(target=lambda: seen.append(store.order()), daemon=True)
        reader.start()
        reader.join(10)
        assert seen == [jobs]


def test_a_token_is_shown_once_and_kept_as_a_hash(store):
    token = store.add_person("Ada L.")
    assert store.person(token).name == "Ada L."
    assert all(token.encode() not in path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    newer = store.add_person("Ada L.")
    with pytest.raises(UnknownToken, match="the token is wrong"):
        store.person(token)
    (job,) = [store.add(store.person(newer), job_settings(), LIMITS).id]
    store.remove_person("Ada L.")
    assert store.people() == []
    assert store.job(job).state == "cancelled"
    with pytest.raises(UnknownToken):
        store.person(newer)
    with pytest.raises(RunError, match="there is no person 'Bob'"):
        store.remove_person("Bob")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"out": "/etc"}, "'out' cannot be asked for"),
        ({"init_image": "/etc/passwd"}, "'init_image' cannot be asked for"),
        ({"image_prompts": ["a.png"]}, "'image_prompts' cannot be asked for"),
        ({"stepz": 3}, "'stepz' cannot be asked for; did you mean 'steps'?"),
        ({"prompt": 5}, "prompt must say what to paint"),
        ({"prompt": "  "}, "prompt must say what to paint"),
        ({"prompt": "red " * 200}, "prompt may have 500 letters, got 800"),
        ({"prompt": "a GÛN, please"}, "the word 'gun' is refused here"),
        ({"canvas": "biggan/x"}, "canvas must be one of pixels, vqgan/demo here, got 'biggan/x'"),
        ({"canvas": ["pixels"]}, "canvas must be one of"),
        ({"perceptor": "demo + ../../x"}, "perceptor must be one of toy, demo here, got '../../x'"),
        ({"perceptor": 3}, "perceptor must be a text, got 3"),
        ({"size": [64, 1024]}, "size may be up to 512 here, got 1024"),
        ({"steps": 501}, "steps may be up to 500 here, got 501"),
        ({"variations": 5}, "variations may be up to 4 here, got 5"),
        ({"cutn": "0:(2), 3:(300)"}, "cutn may be up to 64 here, got 300"),
        ({"picture": "../a.png"}, "picture must be the name that the upload returned"),
        ({"prompt": "red [mask 1]"}, "prompt must name a mask that is there"),
        ({"seed": "x"}, "seed must be"),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_line(more, sentence):
    limits = LIMITS.model_copy(update={"refused_words": ("gun",)})
    assert settings_from({**SMALL, "prompt": "a begun day"}, limits).out == "runs"
    with pytest.raises(SettingsError) as error:
        settings_from({**SMALL, **more}, limits)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_wish_leaves_out_is_within_the_limits():
    limits = Limits(largest_side=64, most_steps=9, most_cutouts=3)
    settings = settings_from({"prompt": "red"}, limits)
    assert (settings.size, settings.steps, settings.cutn) == ((64, 64), 9, 3)
    assert request_from(settings.to_dict()) == {"prompt": "red", "size": [64, 64], "steps": 9, "cutn": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("jobs_a_persn = 3", "there is no limit 'jobs_a_persn'; did you mean 'jobs_a_person'?"),
        ("jobs_a_person = 0", "jobs_a_person should be greater than or equal to 1, got 0"),
        ('keep_days = "long"', "keep_days should be a valid number, got 'long'"),
        ("canvases = []", "canvases"),
        ("= 3", "must be TOML"),
    ],
)
def test_a_file_of_limits_that_is_wrong_is_one_line(tmp_path, text, sentence):
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        Limits.read(tmp_path / "limits.toml")
    assert sentence in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_example_of_limits_shows_the_defaults(tmp_path):
    (tmp_path / "limits.toml").write_text(EXAMPLE)
    assert Limits.read(tmp_path / "limits.toml") == Limits()


def test_a_job_becomes_a_run_folder_and_may_go_on(store):
    (job,) = add(store, "ada")
    paint_all(store)
    done = store.job(job)
    assert (done.state, done.step, done.error) == ("done", 4, "")
    folder = store.runs / done.run
    assert Image.open(folder / "result.png").size == (32, 32)
    assert RunInfo.read(folder).settings.prompt == "red"
    with pytest.raises(RunError, match="more than its 4"):
        store.continue_job(job, 4, LIMITS)
    store.continue_job(job, 7, LIMITS)
    paint_all(store)
    assert store.job(job).step == 7
    assert RunInfo.read(folder).saved_steps[-1] == 7


def test_a_picture_that_was_sent_is_begun_with_and_one_that_is_gone_fails_alone(store):
    from vqclip_nb.queue.uploads import save_upload

    name = save_upload(store, (ROOT / "assets" / "studio.jpg").read_bytes(), LIMITS)
    add(store, "ada", 1, picture=name)
    (gone,) = add(store, "bob", 1, picture="sha256:" + "0" * 64)
    (last,) = add(store, "eve")
    paint_all(store)
    begun, wrong, fine = (store.job(job) for job in (store.jobs_of()[-1].id, gone, last))
    assert begun.state == "done"
    assert len(list((store.runs / begun.run / "inputs").iterdir())) == 1
    assert wrong.state == "failed"
    assert "is not in the folder" in wrong.error
    assert str(store.folder) not in wrong.error
    assert fine.state == "done"


def test_cancelling_ends_a_painting_after_its_step_and_keeps_the_picture(store):
    long, other = add(store, "ada", 2, steps=500)
    store.cancel(other)
    assert store.job(other).state == "cancelled"
    paint_all(store, until=lambda: store.job(long).step > 2 and store.cancel(long))
    paint_all(store)
    assert store.job(long).state == "cancelled"
    assert store.job(long).step < 500
    assert (store.runs / store.job(long).run / "result.png").is_file()


def test_a_job_that_kills_its_worker_again_and_again_is_given_up(store):
    bad, good = *add(store, "ada"), *add(store, "bob")
    for _ in range(3):
        assert store.claim("worker-1").id == bad
    assert store.claim("worker-1").id == good
    assert store.job(bad).state == "failed"
    assert "3 times" in store.job(bad).error
    assert store.claim("worker-2") is None
    store.release_jobs(["worker-2"])
    assert store.claim("worker-2").id == good, "the jobs of a worker that is no more"


def test_a_full_disk_is_waited_for_and_costs_no_picture(store, monkeypatch, capsys):
    def failing(whole, times):
        def fail(*rest, **more):
            nonlocal times
            times -= 1
            if times >= 0:
                raise StoreBroken("the disk is full")
            return whole(*rest, **more)

        return fail

    monkeypatch.setattr("vqclip_nb.queue.worker.RETRY", 0.02)
    for name in ("claim", "progress", "end"):
        monkeypatch.setattr(store, name, failing(getattr(store, name), 2))
    (job,) = add(store, "ada")
    paint_all(store)
    assert store.job(job).state == "done"
    assert capsys.readouterr().err.count("the disk is full; trying again") == 4


def test_a_painting_that_could_not_be_kept_is_not_called_done(store, monkeypatch):
    monkeypatch.setattr("vqclip_nb.queue.painter.complete", lambda folder: False)
    (job,) = add(store, "ada")
    paint_all(store)
    assert (store.job(job).state, store.job(job).error) == (
        "failed",
        "the server's disk is full, or cannot be written to",
    )


def test_a_killed_worker_and_a_killed_server_lose_nothing_and_change_no_pixel(store, tmp_path):
    (job,) = add(store, "ada", steps=400)
    with Workers(store, LIMITS, ["cpu"], program=TOY_WORKER) as workers:
        wait_for(lambda: store.job(job).step > 20)
        os.kill(workers._running["worker-1"].pid, signal.SIGKILL)
        at = store.job(job).step
        wait_for(lambda: store.job(job).step > at + 20)
    assert store.job(job).state == "painting", "the server left in the middle"
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(store.folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    server.stdout.readline()
    server.kill()
    server.wait()
    with Workers(store, LIMITS, ["cpu"], program=TOY_WORKER):
        wait_for(lambda: store.job(job).state == "done")
        with pytest.raises(FolderInUse, match="is served already"), Workers(store, LIMITS, ["cpu"]):
            pass
    folder = store.runs / store.job(job).run
    (whole,) = [*add(store, "bob", steps=400)]
    paint_all(store)
    again = store.runs / store.job(whole).run
    assert Image.open(folder / "result.png").tobytes() == Image.open(again / "result.png").tobytes()
    assert sorted(path.name for path in folder.glob("frames/*")) == sorted(path.name for path in again.glob("frames/*"))


def test_a_bot_beside_a_server_lets_the_server_paint(store, capsys):
    from vqclip_nb.cli.bot import _run

    jobs = []
    with Workers(store, LIMITS, ["cpu"], program=TOY_WORKER):
        assert (
            _run(argparse.Namespace(device=None), store.folder, LIMITS, lambda own: jobs.extend(add(own, "ada"))) == 0
        )
        wait_for(lambda: store.job(jobs[0]).state == "done")
    assert "`vqclip serve` runs on this folder, and paints the pictures" in capsys.readouterr().err


SERVER = """
import sys, time
from pathlib import Path
from tests.test_queue import LIMITS, TOY_WORKER
from vqclip_nb.queue import Store
from vqclip_nb.queue.workers import Workers
with Workers(Store(Path(sys.argv[1])), LIMITS, ["cpu"], program=TOY_WORKER):
    time.sleep(2)
    print("begun", flush=True)
    time.sleep(60)
"""


def test_pictures_are_deleted_when_their_time_is_over(store, monkeypatch):
    old, new = *add(store, "ada"), *add(store, "bob")
    paint_all(store)
    monkeypatch.setattr("vqclip_nb.queue.store.time.time", lambda: 0.0)
    store.end(old, Ending("done"))
    monkeypatch.undo()
    clean(store, LIMITS)
    assert [job.id for job in store.jobs_of()] == [new]
    assert [path.name for path in store.runs.iterdir()] == [store.job(new).run]


def test_nothing_of_torch_is_imported_before_a_job_is_painted():
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, vqclip_nb.queue.worker, vqclip_nb.queue.workers; print('torch' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout == "False\n"
