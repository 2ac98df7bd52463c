"""The command line paints, explains itself, and says what is wrong in one line with exit status 2."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.commands import vqclip
from tests.toys import toy_models
from vqclip_nb import Settings, cli, load_settings, video
from vqclip_nb.fields import fields

SMALL = ["--size", "32", "24", "--steps", "4", "--cutn", "2", "--device", "cpu"]


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with toy_models():
        yield


def test_paint_writes_a_run_and_the_last_line_says_where(capsys, tmp_path):
    assert vqclip("paint", "red", *SMALL) == 0
    output = capsys.readouterr()
    where = re.fullmatch(r"Painted: (runs/\S+-red-0/result\.png)", output.out.splitlines()[-1])[1]
    assert Image.open(tmp_path / where).size == (32, 24)
    assert "4/4" in output.err
    assert "loss=" in output.err


def test_quiet_says_the_path_alone(capsys):
    assert vqclip("paint", "red", *SMALL, "--quiet", "--out", "a place") == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.startswith("a place/")


def test_info_prints_the_command_that_paints_the_same_pixels_again(capsys):
    assert vqclip("paint", "red:2 | blue:-0.5", *SMALL, "--seed", "3", "--lr", "0.2", "--quiet") == 0
    first = capsys.readouterr().out.strip()
    assert vqclip("info", first) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    assert command == "vqclip paint 'red:2 | blue:-0.5' --size 32 24 --seed 3 --steps 4 --lr 0.2 --cutn 2"
    import shlex

    assert vqclip(*shlex.split(command)[1:], "--quiet") == 0
    second = capsys.readouterr().out.strip()
    assert Image.open(first).tobytes() == Image.open(second).tobytes()
    assert vqclip("paint", "--settings", first, "--quiet") == 0
    assert Image.open(first).tobytes() == Image.open(capsys.readouterr().out.strip()).tobytes()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([""], "prompt must say what to paint, got ''"),
        ([], "prompt must say what to paint, got ''"),
        (["red", "--stpes", "3"], "there is no option '--stpes'; did you mean --steps?"),
        (
            ["red", "--size", "0", "0"],
            "size must be two whole numbers, width and height, each from 16 to 4096, got 0 0",
        ),
        (["red", "--size", "-5", "64"], "got -5 64"),
        (["red", "--size", "nan", "64"], "got nan 64"),
        (["red", "--steps", "0"], "steps must be from 1 to 100000, got 0"),
        (["red:1:2:3"], "prompt must be text:weight:stop, got 'red:1:2:3'; quote a text with colons: '\"red:1\":2:3'"),
        (
            ["red", "--init-image", "gone.png"],
            "init_image must be a picture file, got 'gone.png': there is no such file",
        ),
        (["red", "--init-image", "broken.png"], "init_image must be a picture (PNG, JPEG, WebP, …), got 'broken.png'"),
        (["red", "--image-prompts", "cut.png"], "image_prompts must be a readable picture, got 'cut.png'"),
        (["red", "--init-image", "~nobody-here/a.png"], "init_image must be a picture file, got '~nobody-here/a.png'"),
        (["red", "--init-image", "depth.tif"], "its grey is of neither 8 nor 16 bits"),
        (
            ["red", "--init-image", "https://x.org/a.png"],
            "https://x.org/a.png cannot be fetched while VQCLIP_OFFLINE is set",
        ),
        (["red", "--out", "broken.png/runs"], "out must be a folder that can be written to, got 'broken.png/runs'"),
        (["red", "--canvas", "vqgan/nope"], "there is no vqgan model 'nope'"),
        (["red", "--perceptor", "nope"], "there is no clip model 'nope'"),
        (
            ["red", "--out", "x.gif"],
            "out must be a folder, or a picture that ends in .png, .jpg, .jpeg, .webp, got 'x.gif'",
        ),
        (["red", "--canvas", "oil"], "canvas must be"),
        (["red", "--canvas", "biggan"], "canvas must be biggan/<model>, such as `--canvas biggan/512`, got 'biggan'"),
        (["red", "--canvas", "biggan/512"], "`vqclip models get biggan/512`"),
        (["red", "--device", "abacus"], "device must be"),
        (["red", "--settings", "gone.json"], "gone.json"),
        (["red", "--settings", "broken.png"], "cannot be read as a picture"),
        (
            ["a", "red", "house"],
            "there is no argument 'red'; put what to paint in quotes: `vqclip paint 'a red house'`",
        ),
    ],
)
def test_bad_input_is_one_line_status_2_and_nothing_half_written(capsys, tmp_path, monkeypatch, words, sentence):
    monkeypatch.setenv("VQCLIP_OFFLINE", "1")
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path.with_name(f"{tmp_path.name}-home")))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    noise = Image.effect_noise((64, 64), 90)
    noise.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    Image.new("F", (8, 8), 0.5).save(tmp_path / "depth.tif")
    before = sorted(tmp_path.rglob("*"))

    assert vqclip("paint", *words) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert len(output.err.strip().splitlines()) == 1
    assert output.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_ctrl_c_is_a_normal_ending(capsys):
    def press():
        while not list(Path("runs").glob("*/frames/*.jpg")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    assert vqclip("paint", "red", *SMALL, "--steps", "100000") == 0
    presser.join()
    output = capsys.readouterr()
    assert re.search(r"stopped at step \d+ of 100000; the picture so far is kept", output.err)
    result = output.out.splitlines()[-1].removeprefix("Painted: ")
    assert Image.open(result).size == (32, 24)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("presses", "status", "message"), [(1, 0, "the film was left out"), (3, 130, "interrupted")])
def test_ctrl_c_while_the_film_is_made_leaves_out_the_film_alone(capsys, monkeypatch, presses, status, message):
    def pressing(frames):
        for _ in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
        yield from readable(frames)

    readable = video._readable
    monkeypatch.setattr(video, "_readable", pressing)
    assert vqclip("paint", "red", *SMALL) == status
    assert message in capsys.readouterr().err
    (run,) = Path("runs").iterdir()
    assert Image.open(run / "result.png").size == (32, 24)
    assert [path.name for path in run.iterdir() if "progress" in path.name] == []
    assert vqclip("resume", str(run), "--steps", "5") == status, "it goes on, and is interrupted again"


def test_help_explains_every_setting_in_its_group(capsys):
    assert vqclip("paint", "--help") == 0
    output = capsys.readouterr().out
    for name in {field.name for field in fields()} - {"prompt"}:
        assert "--" + name.replace("_", "-") in output
    for heading in ("What:", "Models:", "Canvas:", "Picture:", "Painting:", "Cutouts:", "Run:"):
        assert heading in output


def test_every_command_is_a_module_that_adds_itself(capsys):
    for command in cli.COMMANDS:
        assert vqclip(command, "--help") == 0
        assert f"usage: vqclip {command}" in capsys.readouterr().out


def test_without_a_command_the_commands_are_shown(capsys):
    assert vqclip() == 2
    assert all(command in capsys.readouterr().out for command in ["paint"])
    assert vqclip("--version") == 0
    assert vqclip("pain") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["red", "--iterations", "9"], "there is no option '--iterations'; in vqclip it is --steps"),
        (["red", "--num_cuts=9"], "there is no option '--num_cuts'; in vqclip it is --cutn"),
        (["red", "-opt", "Adam"], "there is no option '-opt'; in vqclip it is --optimizer"),
        (["-p", "red"], "there is no option '-p'; in vqclip it is the prompt itself, without an option"),
        (["red", "-i", "300"], "there is no option '-i'; in vqclip it is --steps"),
        (["red", "-s", "256", "256"], "there is no option '-s'; in vqclip it is --size W H"),
        (
            ["red", "--save_every", "25"],
            "it is --every, but every picture is kept anyway; --save-every is how",
        ),
        (["red", "-cutm", "latest"], "there is no option '-cutm'; in vqclip: --cutouts with --augments"),
        (["red", "-aug", "Af"], "there is no option '-aug'; in vqclip it is --augments"),
        (
            ["red", "--text_min", "fog"],
            "there is no option '--text_min'; in vqclip: prompts of weight -1: a castle | fog:-1",
        ),
        (["red", "-zsc", "1.02"], "there is no option '-zsc'; in vqclip it is --zoom"),
        (["red", "--save_gif"], "there is no option '--save_gif'; `vqclip imagine` has it: the film is written too"),
        (
            ["red", "--quality", "better"],
            ": --preset pixray is quality normal; others by --steps, --size, --cutn",
        ),
        (["red", "--translation_x", "3"], "there is no option '--translation_x'; in vqclip it is --shift-x"),
        (["red", "--ViTB16"], "there is no option '--ViTB16'; in vqclip: --perceptor \"ViT-B/32 + RN50\""),
        (["red", "--jit"], "there is no option '--jit'; CLIP is loaded without it, and works with any torch"),
        (["red", "--tv_scale=2"], "there is no option '--tv_scale'; in vqclip it is --smoothness"),
        (["red", "--strokes", "9"], "there is no option '--strokes'; strokes need diffvg, which few can install"),
        (["--image-prompts", "a.png", "red", "b c.png"], "repeat the option: --image-prompts 'b c.png'"),
    ],
)
def test_options_of_older_tools_name_what_they_are_called_here(words, sentence, capsys):
    assert vqclip("paint", *words) == 2
    assert sentence in capsys.readouterr().err


def test_an_option_of_paint_after_another_command_is_named_as_such(capsys):
    assert vqclip("replay", "a.png", "--steps", "9") == 2
    assert "there is no option '--steps' of `vqclip replay`; `vqclip paint` has it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["a red house"], "vqclip paint 'a red house'"), (["piant", "red"], "vqclip paint"), (["-5"], None)],
)
def test_a_sentence_without_a_command_names_the_one_that_paints(words, meant, capsys):
    assert vqclip(*words) == 2
    output = capsys.readouterr().err
    assert meant is None or f"; did you mean `{meant}`?" in output
    assert len(output.splitlines()) == 1


def test_words_of_other_tools_are_taken_as_they_are_meant(tmp_path, capsys):
    picture = tmp_path / "my picture.png"
    values = ["--size", "24", "--optimizer", "Adam", "--out", str(picture), "--steps", "2", "--cutn", "2", "--quiet"]
    assert vqclip("paint", "red", "--canvas", "pixels", "--device", "cpu", *values) == 0
    painted = capsys.readouterr().out.strip()
    with Image.open(picture) as pil, Image.open(painted) as result:
        assert pil.size == (24, 24)
        assert pil.tobytes() == result.tobytes()
    assert Path(painted).parent.parent.name == "runs"
    assert load_settings(picture).optimizer == "adam"
    assert Settings(save_every=25).save_every == "25"
    assert (
        vqclip("paint", "red", "--canvas", "Pixels", "--cut_pow", "2", "--init_weight=1", *values, "--device=cpu") == 0
    )
    assert load_settings(capsys.readouterr().out.strip()).cut_pow == 2


def test_each_line_of_a_file_is_painted_and_a_wrong_one_stops_before_the_first(tmp_path, capsys):
    file = tmp_path / "prompts.txt"
    file.write_text("# colours\nred\n\n  blue:2 \n", encoding="utf-8")
    small = ["--canvas", "pixels", "--size", "16", "--steps", "2", "--cutn", "2", "--device", "cpu", "--quiet"]
    assert vqclip("paint", "--prompts", str(file), *small, "--out", str(tmp_path / "runs")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert sorted(path.name.split("-")[2] for path in (tmp_path / "runs").iterdir()) == ["blue", "red"]
    file.write_text("red\na:1:2:3\n", encoding="utf-8")
    assert vqclip("paint", "--prompts", str(file), *small, "--out", str(tmp_path / "other")) == 2
    assert f"line 2 of {file}: prompt must be text:weight:stop" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    for wrong in (tmp_path, tmp_path / "none.txt"):
        assert vqclip("paint", "--prompts", str(wrong), *small) == 2
        assert "prompts must be a text file, one prompt a line, got" in capsys.readouterr().err


def test_a_preset_gives_its_numbers_to_another_canvas(capsys):
    small = ["--size", "16", "--steps", "1", "--cutn", "1", "--device", "cpu", "--perceptor", "demo", "--quiet"]
    assert vqclip("paint", "red", "--preset", "bigsleep", "--canvas", "Pixels", *small) == 0
    settings = load_settings(capsys.readouterr().out.strip())
    assert (settings.canvas, settings.distance, settings.average) == ("pixels", "cosine", 0.5)
    assert vqclip("paint", "red", "--preset", "deepdaze", "--canvas", "siren", *small) == 0
    assert load_settings(capsys.readouterr().out.strip()).canvas_options["layers"] == 16
