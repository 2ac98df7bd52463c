"""The commands around a run: each says what it did in its last line, and what is wrong in one."""

import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from tests import crash_worker, standins
from tests.commands import vqclip
from tests.servers import mirror
from tests.toys import toy_models
from vqclip_nb.runs.reader import RunInfo

SMALL = ["--size", "32", "24", "--steps", "4", "--cutn", "2", "--device", "cpu", "--quiet"]


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with toy_models(), crash_worker.no_film():
        yield


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
    assert RunInfo.read(run).current.steps == 6

    assert vqclip("branch", f"runs/{run.name}", "green", "--variation", "2", "--quiet") == 0
    (branched,) = said(capsys)
    assert Image.open(branched).size == (32, 24)
    assert vqclip("replay", branched, "--quiet", "--out", "again") == 0
    (again,) = said(capsys)
    assert Image.open(again).tobytes() == Image.open(branched).tobytes()

    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "settings.json").write_text("{")
    assert vqclip("runs", "runs") == 0
    listed = said(capsys)
    assert vqclip("runs") == 0
    first, second, broken, last = said(capsys)
    assert listed == [first, second, broken, last]
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
    assert "prune must name runs of 'runs', got '../elsewhere'" in capsys.readouterr().err

    empty = run.parent / "empty"
    empty.mkdir()
    (empty / "settings.json").write_text('{"prompt": "red"}')
    assert vqclip("runs", "--prune", "--yes") == 0
    assert empty.exists(), "somebody may be painting it"
    for path in (empty / "settings.json", empty):
        os.utime(path, (0, 0))
    assert vqclip("runs", "--prune", "--yes") == 0
    assert not empty.exists()


def test_prune_deletes_the_folder_that_was_named_and_no_other_of_its_name(capsys, run, monkeypatch):
    other = run.parent.parent / "backup" / run.name
    shutil.copytree(run, other)
    assert vqclip("runs", "--prune", f"backup/{run.name}", "--yes") == 2
    assert run.exists()
    assert other.exists()

    def nobody(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert vqclip("runs", "--prune", str(run)) == 0
    assert run.exists()
    assert vqclip("runs", "--prune", f"runs/{run.name}", "--yes") == 0
    assert not run.exists()


def test_one_broken_run_hides_no_other(capsys, run):
    broken = run.parent / "broken"
    shutil.copytree(run, broken)
    for line in ('{"step": 3, "settings": {"steps": -5}}', '{"step": 3, "settings": {"seed": "x"}, "variation": 1}'):
        (broken / "timeline.jsonl").write_text(f"{line}\n" * 2)
        assert vqclip("runs") == 0
        shown = said(capsys)
        assert shown[0].startswith(run.name)
        assert "broken' cannot be read" in shown[1]


def test_a_console_without_our_letters_shows_all_the_rest(run, monkeypatch):
    assert vqclip("branch", str(run), "green", "--quiet") == 0
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", narrow)
    assert vqclip("runs") == 0
    narrow.flush()
    assert re.search(rb"\n  \? \S+-green-5 ", narrow.buffer.getvalue())


def test_what_resume_refuses_deletes_nothing(capsys, run):
    assert vqclip("resume", str(run), "--steps", "6", "--quiet") == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert len(RunInfo.read(run).saved_steps) == 2
    first = str(RunInfo.read(run).saved_steps[0])
    for refused in (["--lr", "abc"], ["--steps", first], ["--prompt", ""], ["--image-prompts", "gone.png"]):
        assert vqclip("resume", str(run), "--step", first, *refused) == 2
        assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_frame_is_painted_again_with_the_pictures_its_run_was_given(capsys, tmp_path):
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "plain", "PNG")  # a file without a suffix
    assert vqclip("paint", "red", *SMALL, "--image-prompts", "plain") == 0
    run = (tmp_path / capsys.readouterr().out.strip()).parent
    (tmp_path / "plain").unlink()
    for words in (["replay", str(run / "frames" / "000002.jpg"), "--quiet"], ["resume", str(run), "--steps", "5"]):
        assert vqclip(*words) == 0
        assert Image.open(capsys.readouterr().out.strip().removeprefix("Painted: ")).size == (32, 24)
    assert vqclip("paint", "--settings", str(run / "frames" / "000002.jpg"), "--quiet") == 0


def test_info_says_the_command_that_paints_it_again_for_files_and_folders(capsys, run):
    for source in (run / "result.png", run / "frames" / "000004.jpg", run):
        assert vqclip("info", str(source)) == 0
        assert said(capsys)[-1] == "vqclip paint red --size 32 24 --seed 5 --variations 2 --steps 4 --cutn 2"
    assert vqclip("info", str(run / "frames" / "000003.jpg")) == 0
    command = said(capsys)[-1]
    assert command == f"vqclip replay {run / 'frames' / '000003.jpg'}", "it shows an earlier step"
    assert vqclip(*shlex.split(command)[1:], "--quiet") == 0
    assert RunInfo.read(said(capsys)[0].rpartition("/")[0]).saved_steps == [3]
    assert vqclip("info", "nowhere") == 2


def test_film_says_where(capsys, run):
    assert vqclip("film", run.name, "--to", "a.gif", "--fps", "9") == 0
    assert said(capsys) == ["Made: a.gif"]
    for words, sentence in (
        (["--fps", "0"], "fps must be from 0.1 to 120, got 0.0"),
        (["--to", "a.avi"], "a film must end in one of .mp4, .gif, .mkv, .webp, got 'a.avi'"),
    ):
        assert vqclip("film", run.name, *words) == 2
        assert sentence in capsys.readouterr().err


def test_what_is_no_run_is_one_line(capsys):
    for command in ("resume", "branch", "film"):
        assert vqclip(command, "nowhere") == 2
        assert capsys.readouterr().err == "vqclip: 'nowhere' is not a run's folder: it has no settings.json\n"
    Path("runs/a/frames").mkdir(parents=True)
    Path("runs/a/settings.json").write_text("{}")
    assert vqclip("resume", "runs") == 2
    last = repr(str(Path("runs/a")))
    assert capsys.readouterr().err.endswith(f"has no settings.json; it holds runs, such as {last}\n")
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
        entry = standins.entered("mine", server.at("good"))
        file = entry.folder / entry.sources[0].file
        assert vqclip("paint", "red", *loud, "--canvas", "vqgan/mine", "--steps", "1") == 0
        output = capsys.readouterr()
        result = output.out.split()[-1]
        assert f"vqclip: fetching vqgan/mine (size unknown) once, into {tmp_path / 'home'}" in output.err
        assert output.err.index("fetching") < output.err.index("1/1")
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


def test_pictures_by_address_are_fetched_into_the_run_and_none_that_a_file_names(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VQCLIP_OFFLINE", raising=False)
    Image.new("RGB", (32, 24), "red").save(tmp_path / "mine.png")
    data = (tmp_path / "mine.png").read_bytes()
    with mirror(data) as server:
        address = server.at("good")
        assert vqclip("paint", "red", *SMALL, "--init-image", address, "--image-prompts", f"{address}:0.5") == 0
        run = Path(said(capsys)[-1]).parent
        assert [path.read_bytes() for path in (run / "inputs").iterdir()] == [data]
        assert address not in (run / "settings.json").read_text() + str((run / "result.png").read_bytes())
        assert vqclip("generate", "-p", "red", "-ii", address, "-i", "1", "-s", "32", "24", "--demo", "--quiet") == 0
        (tmp_path / "theirs.json").write_text(json.dumps({"prompt": "red", "init_image": address}))
        asked = len(server.requests)
        assert vqclip("paint", *SMALL, "--settings", "theirs.json") == 2
        assert len(server.requests) == asked
    for at, reason in (
        (address, "cannot be reached; give another address or a path"),
        (f"{address}.", "VQCLIP_OFFLINE"),
    ):
        capsys.readouterr()
        assert vqclip("paint", "red", *SMALL, "--image-prompts", at) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert at in line
        assert reason in line
        monkeypatch.setenv("VQCLIP_OFFLINE", "1")


def test_render_makes_a_larger_picture_of_what_was_painted(capsys):
    assert vqclip("paint", "red", *SMALL, "--canvas", "siren", "--variations", "2", "--average", "0.9") == 0
    (result,) = said(capsys)
    folder = os.path.dirname(result)
    assert vqclip("render", folder, "--size", "96", "72") == 0
    assert said(capsys) == [f"Rendered: {folder}/render-96x72-{number}.png" for number in (1, 2)]
    with Image.open(f"{folder}/render-96x72-2.png") as large, Image.open(f"{folder}/result-2.png") as small:
        assert large.size == (96, 72)
        assert large.text["vqclip"] == small.text["vqclip"], "the settings that painted it"
        apart = ImageChops.difference(large.convert("RGB").resize(small.size, Image.Resampling.BOX), small)
    assert max(high for _, high in apart.getextrema()) < 30
    for wrong, remedy in (
        (["--size", "96", "96"], "such as 96 72"),
        (["--size", "16", "12"], "size must be from 32 24"),
        (["--size", "96", "72", "--to", "x.jpg"], "must end in .png"),
    ):
        assert vqclip("render", folder, *wrong) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert remedy in line


def test_render_says_which_canvases_can(capsys, run):
    assert vqclip("render", str(run), "--size", "64", "48") == 2
    assert "siren and fourier" in capsys.readouterr().err
    Image.new("RGB", (8, 8)).save("alone.png")
    assert vqclip("render", "alone.png", "--size", "64", "48") == 2
    assert "'alone.png' is not a run's folder: it has no settings.json" in capsys.readouterr().err


def test_a_run_that_ended_early_says_so_and_how_to_go_on(capsys):
    words = ["paint", "red", *SMALL[:-1], "--steps", "30", "--canvas", "pixels", "--lr", "1e-9", "--early-stop", "3"]
    assert vqclip(*words) == 0
    output = capsys.readouterr()
    assert re.search(r"Ended at step \d+: no lower loss for 3 steps", output.err)
    command = re.search(r"`(vqclip resume [^`]*--early-stop 0[^`]*)` continues", output.err)[1]
    assert vqclip(*shlex.split(command)[1:], "--steps", "32", "--quiet") == 0
    (result,) = said(capsys)
    assert RunInfo.read(Path(result).parent).saved_steps[-1] == 32
