"""Kills while a film is encoded, a run is taken up or deleted; runs that begin at once; damage below a film."""

import json
import multiprocessing
import os
import random
import shutil
import sys
import time
import warnings

import pytest
from PIL import Image

from tests import crash_worker
from tests.toys import toy_models
from vqclip_nb import cli, images
from vqclip_nb.errors import FilmError, PictureError
from vqclip_nb.runs.creation import make_folder
from vqclip_nb.runs.reader import RunInfo, read_all
from vqclip_nb.session import branch, resume, start
from vqclip_nb.timeline import Edit
from vqclip_nb.video import film

real_strftime = time.strftime
KILLS = [pytest.param(4, id="4"), pytest.param(60, id="60", marks=pytest.mark.long)]
needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and fork")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, its film left out."""
    with toy_models(), crash_worker.no_film():
        active = start(crash_worker.settings(tmp_path_factory.mktemp("whole") / "runs"))
        list(active)
        return active.record.finish(active.painting).parent


def outcome(folder):
    return {path.name: path.read_bytes() for path in (*folder.glob("frames/*"), *folder.glob("result*"))}


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def encode(folder):
    film(sorted(folder.glob("frames/*.jpg")), folder / "progress.mp4", fps=30, hold=30)


def take_up(folder):
    with toy_models(), crash_worker.no_film():
        active = resume(folder, step=6)
        list(active)
        active.record.finish(active.painting)


def prune(folder):
    cli.main(["runs", "--out", str(folder.parent), "--prune", folder.name, "--yes"])


def killed(work, folder, after):
    """Do this in a process of its own, and kill it after so many seconds."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(folder,))
    process.start()
    process.join(after)
    process.kill()
    process.join()


@needs_kill
@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("work", [encode, take_up, prune], ids=lambda work: work.__name__)
def test_a_kill_in_the_middle_costs_no_more_than_what_was_being_made(tmp_path, whole, work, kills):
    before, longest = outcome(whole), {"encode": 0.5, "take_up": 0.5, "prune": 0.05}[work.__name__]
    for trial in range(kills):
        folder = tmp_path / str(trial) / "run"
        shutil.copytree(whole, folder)
        (folder / "progress.mp4").unlink()
        killed(work, folder, random.Random(trial).uniform(0, longest))
        found, wrong = read_all(folder.parent)
        assert not wrong, "whole, or no run any more"
        if work is prune:
            assert not found or outcome(folder) == before
            continue
        if (made := folder / "progress.mp4").exists() and work is encode:
            assert b"moov" in made.read_bytes()
        take_up(folder)
        assert outcome(folder) == before
        assert not list(folder.rglob("*.part"))


@needs_kill
def test_four_runs_of_the_same_words_and_second_have_folders_of_their_own(tmp_path):
    def begin():
        for _ in range(20):
            make_folder(tmp_path / "runs", "same", {"settings.json": b"{}", "inputs/a": b"a"})

    processes = [multiprocessing.get_context("fork").Process(target=begin) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(list((tmp_path / "runs").glob("[!.]*/settings.json"))) == 80
    assert not list((tmp_path / "runs").glob(".*"))


@needs_kill
def test_four_whole_runs_of_the_same_words_and_seed_at_once_are_four_runs(tmp_path, whole):
    fork = multiprocessing.get_context("fork")
    out = tmp_path / "runs"
    processes = [fork.Process(target=crash_worker.paint, args=(out, fork.RawValue("i"))) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    found, wrong = read_all(tmp_path / "runs")
    assert not wrong
    assert len({story.folder for story in found}) == 4
    for story in found:
        assert outcome(story.folder) == outcome(whole)
        assert names(story.folder) == names(whole)
    assert not list((tmp_path / "runs").glob(".*"))


def test_a_clock_that_goes_back_in_mid_run_and_before_a_branch_loses_nothing(tmp_path, whole, monkeypatch, capsys):
    real, back = time.time, {"seconds": 0.0}
    monkeypatch.setattr(time, "time", lambda: real() - back["seconds"])
    monkeypatch.setattr(
        "vqclip_nb.runs.writer.time.strftime", lambda form: real_strftime(form, time.gmtime(time.time()))
    )
    with toy_models(), crash_worker.no_film():
        active = start(crash_worker.settings(tmp_path / "runs"))
        for frame in active:
            back["seconds"] += 3600 * 24 * 365 if frame.step in (3, 6) else 0
        run = active.record.finish(active.painting).parent
        assert outcome(run) == outcome(whole)
        child = branch(run, Edit({"prompt": "blue"}), step=4)
        list(child)
        made = child.record.finish(child.painting).parent
    assert made.name < run.name, "it was begun before its parent"
    assert cli.main(["runs", "--out", str(tmp_path / "runs")]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(run.name)
    assert second.strip().startswith(f"└ {made.name}")
    assert cli.main(["runs", "--out", str(tmp_path / "runs"), "--prune", "--yes"]) == 0
    assert "nothing to delete" in capsys.readouterr().out
    take_up(run)
    assert outcome(run) == outcome(whole)


@pytest.mark.parametrize("how", ["moved", "renamed", "copied"])
def test_a_run_that_is_moved_while_nobody_paints_it_goes_on_as_if_it_were_not(tmp_path, whole, how):
    run = tmp_path / "runs" / "run"
    shutil.copytree(whole, run)
    place = {"moved": tmp_path / "other" / "run", "renamed": run.with_name("it's: new"), "copied": tmp_path / "run"}[
        how
    ]
    place.parent.mkdir(exist_ok=True)
    if how == "copied":
        shutil.copytree(run, place)
        take_up(run)
        assert outcome(run) == outcome(whole)
    else:
        run.rename(place)
    take_up(place)
    assert outcome(place) == outcome(whole)
    assert names(place) == names(whole)


def test_leavings_of_a_killed_deletion_go_with_the_next_one(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    for name, age in ((".old-1.deleted", 4000), (".new-2.deleted", 0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert cli.main(["runs", "--out", str(tmp_path), "--prune", "--yes"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run", ".new-2.deleted"}


@pytest.mark.parametrize("year", [1975, 2099])
def test_a_clock_that_is_wrong_loses_nothing(tmp_path, whole, year):
    from vqclip_nb.studio.downloads import make

    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for path in run.rglob("*"):
        os.utime(path, ((year - 1970) * 31_556_952,) * 2)
    take_up(run)
    assert outcome(run) == outcome(whole)
    assert make(run, "run.zip").stat().st_size > 1000
    assert cli.main(["runs", "--out", str(tmp_path), "--prune", "--yes"]) == 0
    assert run.exists()


def with_timeline(whole, run, step):
    shutil.copytree(whole, run)
    shutil.rmtree(run / "state")
    (run / "timeline.jsonl").write_text(f'{{"step": {step}, "settings": {{"lr": 0.1}}}}\n')
    return run


@pytest.mark.parametrize("step", [-1, 10**9, 10**30])
def test_a_timeline_with_steps_out_of_range_is_painted(tmp_path, whole, step):
    with toy_models(), crash_worker.no_film():
        active = resume(with_timeline(whole, tmp_path / "run", step))
        list(active)
        assert active.record.finish(active.painting).is_file()


@pytest.mark.parametrize("step", ["NaN", "1.5", "null"])
def test_a_timeline_with_steps_that_are_none_is_one_line(tmp_path, whole, step):
    with pytest.raises(ValueError, match=r"^the run [^\n]+ cannot be read: a change must be [^\n]+$"):
        resume(with_timeline(whole, tmp_path / "run", step))


def test_a_timeline_with_a_value_that_is_no_number_is_one_line(tmp_path, whole):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "timeline.jsonl").write_text(json.dumps({"step": 3, "settings": {"lr": float("nan")}}) + "\n")
    with pytest.raises(ValueError, match="cannot be read: lr must be"):
        RunInfo.read(run)


def test_a_film_goes_past_damaged_frames_and_says_when_none_is_left(tmp_path):
    frames = [tmp_path / f"{step:06}.jpg" for step in range(1, 5)]
    for path in frames:
        Image.new("RGB", (32, 24), "red").save(path)
    frames[-1].write_bytes(b"no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        film(frames, tmp_path / "a.gif", fps=5)
    assert Image.open(tmp_path / "a.gif").size == (32, 24)
    for path in frames:
        path.write_bytes(b"")
    with pytest.raises(FilmError, match="none of its frames can be read"):
        film(frames, tmp_path / "b.gif")
    assert not list(tmp_path.glob("*b.gif*"))


def test_a_film_that_the_encoder_refuses_says_why_and_shows_no_raw_line(tmp_path, capfd, monkeypatch):
    frame = tmp_path / "000001.jpg"
    Image.new("RGB", (32, 24), "red").save(frame)
    monkeypatch.setitem(__import__("vqclip_nb.video").video.FORMATS, ".mp4", ["-vcodec", "nothing", "-f", "mp4"])
    with pytest.raises(FilmError, match=r"^the film could not be written: [^\n]*nothing"):
        film([frame], tmp_path / "a.mp4")
    assert capfd.readouterr() == ("", "")


def test_a_given_picture_that_was_exchanged_is_not_taken(tmp_path):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / f"{'a' * 64}.png").write_bytes(b"another")
    with pytest.raises(PictureError, match="has another hash"):
        images.locate(f"sha256:{'a' * 64}", field="init_image", inputs=inputs)
    (inputs / f"{'b' * 64}.png").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PictureError, match="known only by its hash"):
        images.locate(f"sha256:{'b' * 64}", field="init_image", inputs=inputs)
