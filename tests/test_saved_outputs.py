"""A resumed run writes its picture again where the first command put it, and nowhere else."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests import crash_worker
from tests.commands import vqclip
from tests.toys import ToyBigGAN, toy_models
from vqclip_nb import Settings, embedded
from vqclip_nb.compat import deep_daze
from vqclip_nb.compat.copies import Copies
from vqclip_nb.compat.plan import Outputs
from vqclip_nb.frame import Frame
from vqclip_nb.runs.loss_log import LossLog

COMMANDS = {  # what is typed, and the files that it leaves, the picture first
    "generate": (
        "generate -p red -i 4 -s 32 24 -cuts 2 -se 2 -o out/output.png -vid -cd cpu --quiet",
        ["out/output.png", "out/output.mp4"],
    ),
    "dream": (
        "dream red --save_progress --save_best --save_every=2 --iterations 4 --epochs 1 -n 2 --image_size 128"
        " --append_seed --device cpu --quiet",
        ["red.0.png", "red.0.best.png", "red.0.0.png", "red.1.0.png"],
    ),
    "imagine": (
        "imagine red --num_layers 2 --hidden_size 8 --image_width 32 --epochs 1 --iterations 4 --save_every 2"
        " --seed 1 --save_gif --quiet --device cpu",
        ["red.jpg", "red.gif", "red.000001.jpg", "red.000002.jpg"],
    ),
    "paint": ("paint red --steps 4 --size 32 24 --cutn 2 --device cpu --quiet --out mine.webp", ["mine.webp"]),
}


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vqclip_nb.models.download.fetch", lambda entry, report: None)
    monkeypatch.setattr("vqclip_nb.models.load_biggan", lambda name: ToyBigGAN((32, 32)), raising=False)
    (tmp_path / "out").mkdir()
    with toy_models(), crash_worker.no_film():
        yield


def painted(name="generate"):
    assert vqclip(*COMMANDS[name][0].split()) == 0
    (run,) = Path("runs").iterdir()
    return run


def alike(picture, result):
    """Whether a picture is the result, written in its own format."""
    embedded.copy(result, again := Path(picture).with_stem("again"))
    same = again.read_bytes() == Path(picture).read_bytes()
    again.unlink()
    return same


@pytest.mark.parametrize("name", COMMANDS)
def test_resume_writes_the_picture_where_the_command_put_it(name, tmp_path, monkeypatch, capsys):
    run, (_, files) = painted(name), COMMANDS[name]
    before = {file: Path(file).stat().st_mtime_ns for file in files}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert vqclip("resume", f"../{run}", "--steps", "8", "--lr", "0.3", "--quiet") == 0
    output = capsys.readouterr().err
    assert not list(Path().iterdir())
    assert f"Written: {tmp_path / files[0]}" in output
    monkeypatch.chdir(tmp_path)
    assert alike(files[0], run / "result.png")
    ends = Path(files[0]), *(Path(file) for file in files if file.endswith((".mp4", ".gif")))
    assert all(path.stat().st_mtime_ns > before[str(path)] for path in ends)
    more = {"dream": {"red.2.0.png", "red.3.0.png"}, "imagine": {"red.000003.jpg", "red.000004.jpg"}}
    there = {str(path) for path in Path().rglob("*") if path.is_file() and "runs" not in path.parts}
    assert there == {*files, *more.get(name, ())}


def test_the_best_picture_so_far_is_replaced_by_a_better_one_alone():
    losses = LossLog()
    for step, pull in ((1, 0.01), (2, 0.5), (4, 0.3)):  # after step 1 no picture is written
        losses.add(step, "red", [pull])
    outputs = Outputs(Path("red.png"), every=2, after=2, best=Path("red.best.png"))
    copies = Copies(outputs, Settings(prompt="red"), lambda: None, losses)
    for step, pull, better in ((6, 0.4, False), (8, 0.2, True)):
        copies.add(Frame(step, 9, losses={"red": torch.tensor([pull])}, image=torch.zeros(1, 3, 8, 8)))
        assert Path("red.best.png").exists() == better


def test_a_run_that_was_stopped_before_its_first_picture_writes_it_when_it_is_resumed():
    run = painted()
    Path("out/output.png").unlink()
    Path("out/output.mp4").unlink()
    assert vqclip("resume", str(run), "--steps", "6", "--quiet") == 0
    assert alike("out/output.png", run / "result.png")


def test_the_classes_of_python_are_resumed_likewise():
    small = {"num_layers": 2, "hidden_size": 8, "image_width": 32, "epochs": 1, "iterations": 4, "save_progress": False}
    picture = deep_daze.Imagine(text="red", device="cpu", **small)()
    (run,) = Path("runs").iterdir()
    assert vqclip("resume", str(run), "--steps", "6", "--lr", "0.3", "--quiet") == 0
    assert alike(picture, run / "result.png")


def test_what_a_person_has_put_in_its_place_stays(capsys):
    run, picture = painted(), Path("out/output.png")
    Image.new("RGB", (8, 8), "red").save(picture)
    mine = picture.read_bytes()
    assert vqclip("resume", str(run), "--steps", "6", "--quiet") == 0
    assert picture.read_bytes() == mine
    warning = "'out/output.png' is no longer this run's picture, and is not overwritten"
    assert warning in capsys.readouterr().err

    shutil.rmtree("out")
    assert vqclip("resume", str(run), "--steps", "8", "--quiet") == 0
    assert "the folder 'out', where the picture was written, does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"picture": "../precious.png"},
        {"picture": ".bashrc"},
        {"films": ["precious.mp4"]},
        {"films": ["/precious.mp4"]},
        {"numbered": "precious.{}.png"},
        {"numbered": "output.{0.__class__}.png"},
        {"best": "..\\output.png"},
        {"every": "2"},
        {"every": -1},
        {"seconds": "long"},
        {"folder": None},
    ],
)
def test_a_stranger_s_run_overwrites_nothing_of_mine(changes, capsys):
    run = painted()
    for name in ("precious.png", ".bashrc", "precious.mp4"):
        Path("out", name).write_text("mine")
    (run / "copies.json").write_text(json.dumps(json.loads((run / "copies.json").read_text()) | changes))
    before = sorted((path.name, path.read_bytes()) for path in Path("out").iterdir())
    assert vqclip("resume", str(run), "--steps", "6", "--quiet") == 0
    assert "copies.json' cannot be read; the picture is only in the run's folder" in capsys.readouterr().err
    assert sorted((path.name, path.read_bytes()) for path in Path("out").iterdir()) == before


@pytest.mark.parametrize(
    ("changes", "mine"), [({"films": ["mine.mp4"]}, "mine.mp4"), ({"numbered": "mine.{}.png"}, "mine.1.png")]
)
def test_a_stranger_s_run_that_names_no_picture_of_its_own_overwrites_nothing(changes, mine, capsys):
    run = painted()
    Path("out", mine).write_text("mine")
    values = json.loads((run / "copies.json").read_text()) | {"picture": "mine.png", "films": []} | changes
    (run / "copies.json").write_text(json.dumps(values))
    assert vqclip("resume", str(run), "--steps", "6", "--quiet") == 0
    assert f"'out/{mine}' exists without this run's picture, and is not overwritten" in capsys.readouterr().err
    assert Path("out", mine).read_text() == "mine"
    assert not Path("out/mine.png").exists()
