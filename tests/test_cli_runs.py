"""The commands around a run: each says what it did in its last line, and what is wrong in one."""

import os
import re
import shlex

import pytest
from PIL import Image

from tests import standins, victims
from tests.servers import mirror
from tests.toys import toy_models
from vqclip_nb import cli
from vqclip_nb.models import catalog
from vqclip_nb.stories import Story

SMALL = ["--size", "32", "24", "--steps", "4", "--cutn", "2", "--device", "cpu", "--quiet"]


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with toy_models(), victims.no_film():
        yield


def vqclip(*words):
    """The exit status of a command."""
    try:
        return cli.main(words)
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture
def run(tmp_path, capsys):
    """A painted run's folder."""
    assert vqclip("paint", "red", *SMALL, "--variations", "2", "--seed", "5") == 0
    return (tmp_path / capsys.readouterr().out.strip()).parent


def said(capsys):
    return capsys.readouterr().out.strip().splitlines()


def test_resume_branch_replay_and_runs(capsys, run, tmp_path):
    assert vqclip("resume", run.name) == 2
    assert "has made all its 4 steps; `--steps 8` paints on" in capsys.readouterr().err
    assert vqclip("resume", run.name, "--steps", "6", "--lr", "0.2", "--quiet") == 0
    assert said(capsys) == [f"runs/{run.name}/result.png"]
    assert Story.read(run).current.steps == 6

    assert vqclip("branch", f"runs/{run.name}", "green", "--variation", "2", "--quiet") == 0
    (branched,) = said(capsys)
    assert Image.open(branched).size == (32, 24)
    assert vqclip("replay", branched, "--quiet", "--out", "again") == 0
    (again,) = said(capsys)
    assert Image.open(again).tobytes() == Image.open(branched).tobytes()

    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "settings.json").write_text("{")
    assert vqclip("runs") == 0
    first, second, broken, last = said(capsys)
    assert re.fullmatch(rf"{run.name}  'red'  6/6 steps, 32x24, \d{{4}}-\S+ [\d:]+, \d+ kB", first)
    assert re.fullmatch(r"  └ \S+-green-6  'green'  12/12 steps, .*, from step 6, \d+ kB", second)
    assert "cannot be read" in broken
    assert re.fullmatch(r"2 runs in runs, \d+ kB", last)


def test_prune_names_what_it_deletes_and_asks(capsys, run, monkeypatch):
    answers = iter(["n", "y"])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert vqclip("runs", "--prune") == 0
    assert said(capsys)[0].startswith("There is nothing to delete")
    assert vqclip("runs", "--prune", run.name) == 0
    assert re.fullmatch(rf"runs/{run.name}  \d+ kB", said(capsys)[0])
    assert run.exists()
    assert vqclip("runs", "--prune", run.name) == 0
    assert not run.exists()
    assert vqclip("runs", "--prune", "../elsewhere") == 2
    assert "prune must name runs, got 'elsewhere'" in capsys.readouterr().err

    empty = run.parent / "empty"
    empty.mkdir()
    (empty / "settings.json").write_text('{"prompt": "red"}')
    assert vqclip("runs", "--prune", "--yes") == 0
    assert empty.exists(), "somebody may be painting it"
    for path in (empty / "settings.json", empty):
        os.utime(path, (0, 0))
    assert vqclip("runs", "--prune", "--yes") == 0
    assert not empty.exists()


def test_info_says_the_command_that_paints_it_again_for_files_and_folders(capsys, run):
    for source in (run / "result.png", run / "frames" / "000004.jpg", run):
        assert vqclip("info", str(source)) == 0
        assert said(capsys)[-1] == "vqclip paint red --size 32 24 --seed 5 --variations 2 --steps 4 --cutn 2"
    assert vqclip("info", str(run / "frames" / "000003.jpg")) == 0
    command = said(capsys)[-1]
    assert command == f"vqclip replay {run / 'frames' / '000003.jpg'}", "it shows an earlier step"
    assert vqclip(*shlex.split(command)[1:], "--quiet") == 0
    assert Story.read(said(capsys)[0].rpartition("/")[0]).kept == [3]
    assert vqclip("info", "nowhere") == 2


def test_film_says_where(capsys, run):
    assert vqclip("film", run.name, "--to", "a.gif", "--fps", "9") == 0
    assert said(capsys) == ["Made: a.gif"]
    for words, sentence in (
        (["--fps", "0"], "fps must be from 0.1 to 120, got 0.0"),
        (["--to", "a.avi"], "a film must end in one of .mp4, .gif, .webp, got 'a.avi'"),
    ):
        assert vqclip("film", run.name, *words) == 2
        assert sentence in capsys.readouterr().err


def test_what_is_no_run_is_one_line(capsys):
    for command in ("resume", "branch", "film"):
        assert vqclip(command, "nowhere") == 2
        assert capsys.readouterr().err == "vqclip: 'nowhere' is no run's folder: there is no settings.json in it\n"
    assert vqclip("replay", "nowhere") == 2
    assert capsys.readouterr().err == "vqclip: there is no file 'nowhere'\n"


def test_metadata_is_left_out_of_every_file_when_asked(capsys, tmp_path):
    assert vqclip("paint", "red", *SMALL, "--no-metadata", "--variations", "2") == 0
    folder = (tmp_path / said(capsys)[0]).parent
    for path in (*folder.glob("*.png"), *folder.glob("frames/*.jpg")):
        assert vqclip("info", str(path)) == 2
        assert "holds no settings" in capsys.readouterr().err


def test_a_model_that_is_not_here_is_announced_and_fetched_before_painting(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VQCLIP_OFFLINE", raising=False)
    loud = [word for word in SMALL if word != "--quiet"]
    with mirror(b"weights" * 300_000) as server:
        entry = catalog.add("mine", standins.TINY_CONFIG, server.at("good"))
        file = entry.folder / entry.sources[0].file
        assert vqclip("paint", "red", *loud, "--canvas", "vqgan/mine", "--steps", "1") == 0
        shown = capsys.readouterr()
        result = shown.out.split()[-1]
        assert f"vqclip: fetching vqgan/mine (size unknown) once, into {tmp_path / 'home'}" in shown.err
        assert shown.err.index("fetching") < shown.err.index("1/1")
        run = os.path.dirname(result)
        for words in (["resume", run, "--steps", "2"], ["branch", run], ["replay", run], ["replay", result]):
            file.unlink()
            assert vqclip(*words) == 0
            assert capsys.readouterr().err.count("fetching vqgan/mine (2 MB)") == 1
            assert vqclip("replay", run) == 0
            assert "fetching" not in capsys.readouterr().err, "it is on the disk"
        file.unlink()
        assert vqclip("replay", run, "--quiet") == 0
        assert capsys.readouterr().err == ""
        file.unlink()
    monkeypatch.setenv("VQCLIP_OFFLINE", "1")
    assert vqclip("replay", run) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
