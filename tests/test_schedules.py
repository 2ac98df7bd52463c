"""A number may be keyframes: read by a small grammar, checked, kept, and followed without encoding or rewriting."""

from unittest import mock

import pytest
import torch

from tests.toys import ToyPerceptor, toy_models
from vqclip_nb import Settings, video
from vqclip_nb.embedded import read
from vqclip_nb.errors import SettingsError
from vqclip_nb.painting import run
from vqclip_nb.schedules import Schedule, value_at
from vqclip_nb.session import build_painting, replay, resume, start
from vqclip_nb.timeline import Edit

COURSE = "0:(0.1), 60:(0.05), 120:(0.02)"


def test_between_keyframes_it_is_linear_and_outside_it_is_held():
    schedule = Schedule.parse("10:(1), 20:(3), 21:(-1)")
    assert [schedule.at(step) for step in (0, 10, 15, 20, 21, 99)] == [1, 1, 2, 3, -1, -1]
    assert value_at(0.3, 7) == 0.3


@pytest.mark.parametrize("text", ["0:(1), 5:(2.5)", " 0 : ( 1 ) ,5:( +2.5e0 ) ", "0:(1),5:(2.5)"])
def test_it_is_written_as_it_is_read(text):
    schedule = Schedule.parse(text)
    assert str(schedule) == "0:(1), 5:(2.5)"
    assert Schedule.parse(str(schedule)) == schedule
    third = schedule.times(1 / 3)
    assert Schedule.parse(str(third)) == third, "to the last bit"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0:(0.1), 60(0.05)", """expected ":" after the step at the ^ in '0:(0.1), 60^(0.05)'"""),
        ("0:0.1", """expected "(" before the number at the ^ in '0:^0.1'"""),
        ("0:(sin(t))", "expected a number at the ^ in '0:(^sin(t))'"),
        ("0:(1", """expected ")" after the number at the ^ in '0:(1^'"""),
        ("0:(1) 5:(2)", """expected "," before the next keyframe at the ^ in '0:(1) ^5:(2)'"""),
        ("0:(1),", "expected a step at the ^ in '0:(1),^'"),
        ("5:(1), 5:(2)", "expected a step above 5 at the ^ in '5:(1), ^5:(2)'"),
        ("-1:(1)", "expected a step at the ^ in '^-1:(1)'"),
        ("0:(nan)", "expected a number at the ^"),
        (", ".join(f"{step}:(1)" for step in range(1001)), "1000 keyframes at most"),
    ],
)
def test_what_is_wrong_is_one_line_with_a_caret_at_the_place(text, sentence):
    with pytest.raises(SettingsError) as error:
        Settings(lr=text)
    assert str(error.value).startswith("lr must be a number or keyframes like 0:(0.1), 60:(0.05); expected ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lr": "0:(0.1), 9:(0)"}, "lr must be above 0 and up to 10 at every keyframe, got 0 at step 9"),
        ({"smoothness": "0:(1), 9:(-1)"}, "smoothness must be from 0 to 1000 at every keyframe, got -1 at step 9"),
        ({"cutn": "0:(4), 9:(4.5)"}, "cutn must be a whole number from 1 to 512 at every keyframe, got 4.5 at step 9"),
        ({"steps": "0:(4), 9:(8)"}, "steps must be a whole number from 1 to 100000, got '0:(4), 9:(8)'"),
    ],
)
def test_every_keyframe_is_within_the_range_of_its_field(values, sentence):
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert str(error.value) == sentence


def test_keyframes_come_back_from_json_and_one_number_throughout_is_that_number():
    settings = Settings(lr=COURSE, cutn="0:(4), 9:(8)")
    assert settings.lr == Schedule(((0, 0.1), (60, 0.05), (120, 0.02)))
    assert (settings.to_dict()["lr"], settings.to_dict()["cutn"]) == (COURSE, "0:(4), 9:(8)")
    assert Settings.from_json(settings.to_json()) == settings == settings.replace(seed=0)
    assert Settings(lr="0:(0.1), 60:(0.1)").lr == 0.1
    assert type(Settings(cutn="0:(7)").cutn) is int


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    with toy_models():
        yield


def settings(**more):
    values = {"prompt": "red | blue:-0.2", "canvas": "pixels", "size": (16, 16), "steps": 8, "cutn": 3, "device": "cpu"}
    return Settings(**{**values, "every": 1, "save_every": "3", **more})


def frames_of(painting):
    return [frame.image for frame in run(painting, look=True)]


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("lr", (0.02, 0.1)),
        ("smoothness", (1.0, 300.0)),
        ("init_weight", (0.0, 400.0)),
        ("cutn", (2, 5)),
        ("prompt", ("red:1 | blue:-0.2", "red:0.5 | blue:-0.2")),
        ("losses", ("symmetry:0", "symmetry:40")),
    ],
)
def test_keyframes_paint_what_changes_at_those_steps_would(name, numbers):
    """Held before step 3 and from there on; the number at a step is the one that an edit there would set."""
    first, second = numbers
    courses = {"prompt": "red:2:(1), 3:(0.5) | blue:-0.2", "losses": "symmetry:2:(0), 3:(40)"}
    course = courses.get(name, f"2:({first}), 3:({second})")
    scheduled = build_painting(settings(**{name: course}))
    edited = build_painting(settings(**{name: first}))
    list(run(edited, until=3))
    edited.apply(Edit({name: second}))
    expected = frames_of(edited)
    frames = frames_of(scheduled)
    for got, wanted in zip(frames[3:], expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)
    assert not torch.equal(frames[-1], frames_of(build_painting(settings(**{name: first})))[-1])
    assert scheduled.timeline == []


@pytest.mark.usefixtures("toys")
def test_five_changes_of_lr_encode_nothing_again(tmp_path):
    from PIL import Image

    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    painting = build_painting(settings(image_prompts=(str(tmp_path / "red.png"),)))
    with (
        mock.patch.object(ToyPerceptor, "encode_text", side_effect=AssertionError("the text was encoded")),
        mock.patch.object(ToyPerceptor, "encode_image", side_effect=AssertionError("the picture was encoded")),
    ):
        for number in range(1, 6):
            painting.apply(Edit({"lr": number / 100, "smoothness": float(number)}))
    with mock.patch.object(ToyPerceptor, "encode_text", side_effect=painting_texts()) as encode:
        painting.apply(Edit({"prompt": "green"}))
    assert encode.call_count == 1


def painting_texts():
    encode = ToyPerceptor().encode_text
    return lambda texts: encode(texts)


@pytest.mark.usefixtures("toys")
def test_a_run_by_keyframes_is_resumed_and_replayed_to_the_pixel_and_tells_them(tmp_path):
    asked = settings(
        out=str(tmp_path / "runs"), lr="0:(0.1), 6:(0.013)", cutn="1:(2), 5:(4)", smoothness="0:(0), 7:(9)"
    )
    whole = start(asked)
    pixels = [frame.image for frame in whole]
    folder = whole.record.finish(whole.painting).parent
    recipe = read(folder / "result.png")["settings"]
    assert (recipe["lr"], recipe["cutn"]) == ("0:(0.1), 6:(0.013)", "1:(2), 5:(4)")
    assert not (folder / "timeline.jsonl").exists() or not (folder / "timeline.jsonl").read_text()

    resumed = resume(folder, step=6)
    assert [torch.equal(frame.image, pixels[frame.step - 1]) for frame in resumed] == [True, True]
    resumed.record.finish(resumed.painting)
    again = replay(folder / "result.png", place={"every": 1, "out": str(tmp_path / "again")})
    assert all(torch.equal(frame.image, pixels[frame.step - 1]) for frame in again)


def test_the_command_line_takes_keyframes_and_gives_them_back():
    from vqclip_nb.cli import parser
    from vqclip_nb.cli.info import command
    from vqclip_nb.cli.paint import read_settings

    words = ["red", "--lr", "0:(0.1), 60:(0.05)", "--cutn", "0:(8), 9:(16)"]
    settings = read_settings(parser("paint").parse_args(["paint", *words]))
    assert (str(settings.lr), str(settings.cutn)) == ("0:(0.1), 60:(0.05)", "0:(8), 9:(16)")
    told = command(settings, {"timeline": [], "step": settings.steps}, "result.png")
    assert told == "vqclip paint red --lr '0:(0.1), 60:(0.05)' --cutn '0:(8), 9:(16)'"


def test_the_panel_keeps_keyframes_until_the_control_is_moved():
    from vqclip_nb.studio.form import Form

    heard = []
    form = Form(heard.append)
    asked = Settings(lr="0:(0.1), 9:(0.2)", cutn="0:(8), 9:(16)")
    form.load(asked.to_dict())
    assert (form.value("lr"), form.value("cutn")) == (asked.lr, asked.cutn)
    assert Settings(**form.values()).lr == asked.lr
    form.controls["cutn"].value = 32
    assert (form.value("cutn"), heard) == (32, ["cutn"])


def test_what_the_panel_pushes_away_may_be_keyframes():
    from vqclip_nb.studio.prompt_box import combined

    assert combined("red", "fog:0:(1), 9:(0.2) | rain") == "red | fog:0:(-1), 9:(-0.2) | rain:-1"
