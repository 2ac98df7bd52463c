"""A run's folder that is not yours, and text that is not yours: nothing outside is touched, nothing is obeyed."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.toys import toy_models
from vqclip_nb import Settings, cli, embedded
from vqclip_nb.cli._shell import command
from vqclip_nb.errors import FilmError, PaintWarning, PictureError, RunError
from vqclip_nb.runs import layout, metadata
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.session import replay, resume, start
from vqclip_nb.studio.backup import copy_over
from vqclip_nb.studio.downloads import make
from vqclip_nb.video import film

ROOT = Path(__file__).parent.parent
SMALL = {"prompt": "red", "canvas": "pixels", "size": 16, "steps": 6, "cutn": 2, "device": "cpu", "save_every": "2"}
pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights there")


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr("vqclip_nb.video._encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    monkeypatch.setattr("vqclip_nb.runs.metadata.model_hashes", lambda settings: {})
    with toy_models():
        yield


def painted(folder, **more):
    active = start(Settings(**{**SMALL, **more}, out=str(folder)))
    for _ in active:
        pass
    return active.record.finish(active.painting).parent


def precious(tmp_path):
    """A folder of somebody's, with files that have the names of a run's."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("000001.jpg", "000006.jpg", "000006.safetensors", ".x.part", "notes.txt"):
        (folder / name).write_text("mine")
    return folder


def untouched(folder):
    return sorted((path.name, path.read_text()) for path in folder.iterdir())


@pytest.mark.parametrize("name", ["frames", "state", "inputs"])
def test_a_linked_subfolder_is_refused_before_anything_is_deleted(tmp_path, name):
    run, outside = painted(tmp_path / "runs"), precious(tmp_path)
    if (run / name).exists():
        (run / name).rename(tmp_path / "moved")
    (run / name).symlink_to(outside)
    left = untouched(outside), sorted(path.name for path in run.rglob("*"))
    step = None if name == "state" else 4
    with pytest.raises((RunError, OSError), match="must be a folder of its own, and is a link to"):
        resume(run, step=step)
    assert (untouched(outside), sorted(path.name for path in run.rglob("*"))) == left


def test_a_film_of_linked_frames_names_the_link(tmp_path, capsys):
    run, outside = painted(tmp_path / "runs"), precious(tmp_path)
    (run / "frames").rename(tmp_path / "moved")
    (run / "frames").symlink_to(outside)
    assert cli.main(["film", str(run)]) == 2
    assert "must be a folder of its own, and is a link to" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["progress.mp4", ".progress.mp4.part", ".result.png.part", "result.png", ".lock"])
def test_a_link_where_a_file_is_written_is_replaced_and_its_target_stays(tmp_path, name):
    run, outside = painted(tmp_path / "runs"), tmp_path / "precious.txt"
    outside.write_text("mine")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside)
    active = resume(run, step=4)
    for _ in active:
        pass
    active.record.finish(active.painting)
    assert outside.read_text() == "mine"
    assert not (run / "result.png").is_symlink()


def test_a_folder_where_a_frame_should_be_is_named_before_anything_is_deleted(tmp_path):
    run = painted(tmp_path / "runs")
    (run / "frames" / "000006.jpg").unlink()
    (run / "frames" / "000006.jpg").mkdir()
    left = sorted(path.name for path in run.rglob("*"))
    with pytest.raises((RunError, OSError), match="must be a file of its own, and is a folder; move it away"):
        resume(run, step=4)
    assert sorted(path.name for path in run.rglob("*")) == left


def test_a_state_of_another_run_is_refused_and_the_run_goes_on_from_its_own(tmp_path):
    run, other = painted(tmp_path / "runs"), painted(tmp_path / "others", prompt="blue", seed=5)
    right = Image.open(run / "result.png").tobytes()
    (other / "state" / "000006.safetensors").replace(run / "state" / "000006.safetensors")
    with pytest.warns(PaintWarning, match=r"the state 000006.safetensors belongs to another run or step; an earlier"):
        active = resume(run)
    assert active.painting.step_count == 4
    for _ in active:
        pass
    active.record.finish(active.painting)
    assert Image.open(run / "result.png").tobytes() == right


def test_a_picture_s_settings_open_no_file_by_its_path(tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (16, 16), "red").save(secret)
    settings = Settings(**SMALL, init_image=str(secret))
    about = metadata.describe(settings, step=6, hashes={})
    (tmp_path / "strange.png").write_bytes(embedded.encode(Image.new("RGB", (16, 16)), "PNG", about))
    with pytest.raises(PictureError, match=r"gives the path of init_image, .*secret"):
        replay(tmp_path / "strange.png", run_options={"out": str(tmp_path / "runs")})
    assert not (tmp_path / "runs").exists()


def test_copies_and_archives_hold_no_file_from_outside(tmp_path):
    run, outside = painted(tmp_path / "runs"), precious(tmp_path)
    (run / "leak.txt").symlink_to(outside / "notes.txt")
    (run / "more").symlink_to(outside)
    make(run, "run.zip")
    with zipfile.ZipFile(run / "run.zip") as file:
        assert not [name for name in file.namelist() if "leak" in name or "more" in name]
    copy_over(run, tmp_path / "copy")
    assert not {"leak.txt", "more"} & {path.name for path in (tmp_path / "copy").iterdir()}
    elsewhere = tmp_path / "copy2"
    elsewhere.mkdir()
    (elsewhere / "frames").symlink_to(outside)
    with pytest.raises(OSError, match="must be a folder of its own"):
        copy_over(run, elsewhere)
    assert untouched(outside) == sorted((path.name, "mine") for path in outside.iterdir())


def test_prune_names_what_it_cannot_delete_and_goes_on(tmp_path, capsys):
    runs = tmp_path / "runs"
    first, second = painted(runs), painted(runs, seed=1)
    real = first.rename(tmp_path / "real")
    first.symlink_to(real)
    assert cli.main(["runs", "--out", str(runs), "--prune", first.name, second.name, "--yes"]) == 2
    output = capsys.readouterr()
    assert "was not deleted" in output.err
    assert "Deleted 1" in output.out
    assert (real / "result.png").exists()
    assert not second.exists()


def test_an_empty_run_with_a_dangling_link_is_listed_and_pruned(tmp_path, capsys):
    run = painted(tmp_path / "runs")
    for path in (*run.glob("state/*"), *run.glob("result*")):
        path.unlink()
    (run / "dangling").symlink_to(tmp_path / "nowhere")
    hour_ago = time.time() - 4000
    for path in (run, *run.iterdir()):
        os.utime(path, (hour_ago, hour_ago), follow_symlinks=False)
    assert cli.main(["runs", "--out", str(tmp_path / "runs"), "--prune", "--yes"]) == 0
    assert "Deleted 1" in capsys.readouterr().out


EVIL = "a cat\x1b]0;owned\x07\x1b[2J\n$ rm -rf ~ \u202egnp.exe"


def test_text_from_files_is_shown_escaped(tmp_path, capsys):
    run = painted(tmp_path / "runs")
    about = embedded.read(run / "result.png")
    about["settings"]["prompt"] = EVIL
    (run / "evil.png").write_bytes(embedded.encode(Image.new("RGB", (16, 16)), "PNG", about))
    text = (run / "settings.json").read_text()
    (run / "settings.json").write_text(text.replace('"red"', '"a cat\\u001b[2J\\u202egnp"'))
    for words in (["info", str(run / "evil.png")], ["runs", "--out", str(tmp_path / "runs")], ["info", str(run)]):
        assert cli.main(words) == 0
        output = capsys.readouterr()
        assert all(letter.isprintable() or letter == "\n" for letter in output.out + output.err)
        assert "$ rm" not in [line[:4] for line in output.out.splitlines()]


@pytest.mark.parametrize("word", ["--out=/etc", "-x", "it's $HOME; ls", EVIL, ""])
def test_a_printed_command_is_one_line_that_gives_the_same_words_when_pasted(word):
    line = command(sys.executable, "-c", "import sys; sys.stdout.write(sys.argv[-1])", operands=[word])
    assert "\n" not in line
    assert line.isprintable()
    process = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert process.stdout.decode() == word


def test_a_prompt_that_looks_like_an_option_is_printed_behind_dashes(tmp_path, capsys):
    run = painted(tmp_path / "runs")
    about = embedded.read(run / "result.png")
    about["settings"]["prompt"] = "--out=elsewhere"
    (run / "odd.png").write_bytes(embedded.encode(Image.new("RGB", (16, 16)), "PNG", about))
    assert cli.main(["info", str(run / "odd.png")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" -- --out=elsewhere")


@pytest.mark.parametrize("name", ["take:1", "50%", "a b", "-x", "d'or"])
def test_a_film_is_made_whatever_its_folder_is_called(tmp_path, name, monkeypatch, capfd):
    monkeypatch.undo()
    folder = tmp_path / name
    folder.mkdir()
    frames = []
    for index, colour in enumerate(("red", "blue")):
        frames.append(folder / f"{index:06}.jpg")
        Image.new("RGB", (32, 32), colour).save(frames[-1])
    monkeypatch.chdir(tmp_path)
    film(frames, Path(name) / "film.mp4", seconds=1)
    assert (folder / "film.mp4").stat().st_size > 500
    assert capfd.readouterr() == ("", "")


def test_a_film_that_fails_is_a_sentence_and_a_status_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vqclip_nb.cli.paint.prepare", lambda settings: None)

    def no_encoder(frames, path, *rest):
        raise OSError("no encoder")

    words = ["paint", "red", "--canvas", "pixels", "--size", "16", "16", "--steps", "2", "--cutn", "2", "--quiet"]
    monkeypatch.setattr("vqclip_nb.video._encode", no_encoder)
    assert cli.main([*words, "--device", "cpu", "--out", str(tmp_path)]) == 3
    output = capsys.readouterr()
    assert "vqclip: the film could not be written: no encoder" in output.err
    assert Path(output.out.strip()).is_file(), "the picture is there"
    monkeypatch.setattr("vqclip_nb.video._encode", lambda *all: None)
    with pytest.raises(FilmError, match="the encoder made no file"):
        film(layout.frames(Path(output.out.strip()).parent), tmp_path / "film.mp4")


PAINT = """
import sys
from unittest import mock
from tests.toys import toy_models
from vqclip_nb import cli

words = ["paint", "red", "--canvas", "pixels", "--size", "16", "16", "--cutn", "2", "--device", "cpu", *sys.argv[1:]]
film = lambda frames, path, *rest: path.write_bytes(b"film")
with toy_models(), mock.patch("vqclip_nb.cli.paint.prepare"), mock.patch("vqclip_nb.video._encode", film), mock.patch(
    "vqclip_nb.runs.metadata.model_hashes", return_value={}
):
    sys.exit(cli.main(words))
"""


def painting(tmp_path, *words, shell="exec {}", **more):
    """A process that paints, its output where the shell puts it."""
    python = command(sys.executable, "-c", PAINT, "--out", tmp_path / "runs", *words)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(["bash", "-c", shell.format(python)], env=environment, text=True, **more)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_ends_a_run_as_politely_as_a_kill(tmp_path, number):
    process = painting(tmp_path, "--steps", "100000", "--every", "1", stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/frames/000003.jpg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "result.png").is_file()
    assert (run / "progress.mp4").is_file()
    assert RunInfo.read(run).saved_steps


@pytest.mark.parametrize(
    ("shell", "status", "sentence"),
    [
        ("{} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("{} >/dev/full", 1, "the output could not be written: No space left on device"),
        ("{} >&- 2>&-", 0, ""),
    ],
)
def test_the_picture_is_kept_whatever_becomes_of_the_output(tmp_path, shell, status, sentence):
    if "full" in shell and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    process = painting(tmp_path, "--steps", "5", shell=shell, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    _, errors = process.communicate(timeout=60)
    assert sentence in errors
    assert "Errno" not in errors
    assert process.returncode == status
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "result.png").is_file()


def test_a_reader_that_leaves_ends_a_listing_normally():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = f"{command(sys.executable, '-m', 'vqclip_nb', 'models')} | head -1; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
