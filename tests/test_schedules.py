"""A number may be keyframes: read by a small grammar, checked, kept, and followed without encoding or rewriting."""

from itertools import pairwise
from unittest import mock

import pytest
import torch

from tests.toys import ToyPerceptor, toy_models
from vqclip_nb import Settings, extra_prompts, video
from vqclip_nb.embedded import read
from vqclip_nb.errors import SettingsError
from vqclip_nb.expressions import noise
from vqclip_nb.lowest_loss import LowestLoss
from vqclip_nb.painting import run
from vqclip_nb.schedules import Schedule, value_at
from vqclip_nb.schema import describe
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
        ("0:(sin t)", """expected "(" after sin at the ^ in '0:(sin ^t)'"""),
        ("0.1*(s", """expected ")" at the ^ in '0.1*(s^'"""),
        ("0.1*import", "expected a number, t, s, pi, a bracket or one of sin, cos,"),
        ("t.real", "expected a number, t, s, a function or an operator at the ^ in 't^.real'"),
        ("0.1 + s @ 2", "expected a number, t, s, a function or an operator at the ^ in '0.1 + s ^@ 2'"),
        ("(" * 60 + "t" + ")" * 60, "expected fewer brackets at the ^"),
        ("-" * 60 + "t", "expected fewer signs at the ^"),
        ("t+" * 300 + "t", "expected an expression of at most 500 letters at the ^"),
        ("0:(1", """expected ")" after the number at the ^ in '0:(1^'"""),
        ("0:(1) 5:(2)", """expected "," before the next keyframe at the ^ in '0:(1) ^5:(2)'"""),
        ("0:(1),", "expected a step at the ^ in '0:(1),^'"),
        ("5:(1), 5:(2)", "expected a step above 5 at the ^ in '5:(1), ^5:(2)'"),
        ("-1:(1)", "expected a step at the ^ in '^-1:(1)'"),
        ("0:(nan)", "expected a number, t, s, pi"),
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
        (
            {"early_stop": "0:(4), 9:(.5)"},
            "early_stop must be a whole number from 0 to 100000 at every keyframe, got 0.5 at step 9",
        ),
    ],
)
def test_every_keyframe_is_within_the_range_of_its_field(values, sentence):
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert str(error.value) == sentence


@pytest.mark.parametrize("value", ["0:(4), 9:(8)", "10*s", "4 + sin(t)"])
@pytest.mark.parametrize("name", ["steps", "seed", "average", "tidy"])
def test_a_number_that_holds_for_the_whole_run_says_so_and_names_those_that_change(name, value):
    with pytest.raises(SettingsError) as error:
        Settings(**{name: value})
    sentence = str(error.value)
    assert sentence.startswith(f"{name} must be ")
    assert f"got {value!r}; it is one number for the whole run: keyframes or a formula are for " in sentence
    assert "\n" not in sentence
    assert "cutn" in sentence


def test_every_other_number_that_is_live_may_change_along_the_run():
    numbers = {spec.name for spec in describe(Settings) if spec.live and spec.kind in ("number", "whole number")}
    assert numbers - {spec.name for spec in describe(Settings) if spec.scheduled} == {"seed", "steps"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lr": "sin(t)"}, "lr must be above 0 and up to 10 at every step, got 0 at step 0 of 'sin(t)'"),
        ({"smoothness": "1/(t-7)"}, "smoothness must be a number at every step, got none at step 7 of '1/(t-7)'"),
        ({"smoothness": "exp(9**t)"}, "smoothness must be a number at every step, got none at step"),
        (
            {"prompt": "red:(log(t))"},
            "the weight of 'red' must be a number at every step, got none at step 0 of 'log(t)'",
        ),
        ({"losses": "symmetry:(log(s))"}, "the weight of symmetry must be a number at every step, got none at step 0"),
    ],
)
def test_an_expression_is_a_number_within_the_range_at_every_step(values, sentence):
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2*3 - 4/8", 6.5),
        ("-2**2 + 2**-1", -3.5),
        ("2**3**2", 512),
        ("7 % 4 + .5e1", 8),
        ("min(3, t, 2) + max(s, 0.5)", 2.5),
        ("cos(pi*(t - 10)) - abs(-s)", 0.75),
        ("sqrt(exp(log(9))) + floor(2.7)", 5),
    ],
)
def test_an_expression_is_arithmetic_of_t_and_s(text, value):
    assert Schedule.parse(text).at(10, 0.25) == pytest.approx(value)
    assert Schedule.parse(f"0:({text})").at(10, 0.25) == pytest.approx(value)
    assert Schedule.parse(str(Schedule.parse(text))) == Schedule.parse(text)


def test_noise_is_smooth_and_bounded_and_the_same_every_time():
    course = [noise(step / 50) for step in range(2000)]
    assert course == [noise(step / 50) for step in range(2000)]
    assert max(map(abs, course)) <= 1
    assert max(course) > 0.8
    assert max(abs(after - before) for before, after in pairwise(course)) < 2 * 1.5 / 50 + 1e-9


def test_the_way_between_keyframes_may_be_eased_or_stepped():
    eased, stepped = Schedule.parse("0:(0), 4:(8) eased"), Schedule.parse("0:(0), 4:(8) stepped")
    assert [eased.at(step) for step in range(5)] == [0, 8 * (3 / 16 - 2 / 64), 4, 8 * (27 / 16 - 54 / 64), 8]
    assert [stepped.at(step) for step in range(5)] == [0, 0, 0, 0, 8]
    assert Schedule.parse(str(eased)) == eased
    moving = Schedule.parse("0:(t), 10:(100)")
    assert [moving.at(step) for step in (0, 5, 10)] == [0, (5 + 100) / 2, 100]
    assert moving.retimed(lambda frame: 4 * frame, "(t/4)").at(20) == moving.at(5)


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
    monkeypatch.setattr(extra_prompts, "WRITING", ("blue", "green"))  # words that the toys know
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
        ("averaging_weight", (0.0, 0.8)),
        ("textoff", (0.0, 0.9)),
        ("accumulate", (1, 3)),
        ("cut_pow", (0.2, 5.0)),
        ("lr: max(0.02, min(0.1, 0.1*(t - 2)))", (0.02, 0.1)),
        ("prompt: red:(1 - 0.5*min(1, max(0, t - 2))) | blue:-0.2", ("red:1 | blue:-0.2", "red:0.5 | blue:-0.2")),
        ("losses: symmetry:(40*floor(min(1, t/3)))", ("symmetry:0", "symmetry:40")),
        (
            "prompt: red @ 0-37.5% fade 0% | green @ 37.5-100% fade 0% | blue:-0.2",
            ("red | blue:-0.2", "green | blue:-0.2"),
        ),
    ],
)
def test_keyframes_paint_what_changes_at_those_steps_would(name, numbers):
    """Held before step 3 and from there on; the number at a step is the one that an edit there would set."""
    first, second = numbers
    courses = {"prompt": "red:2:(1), 3:(0.5) | blue:-0.2", "losses": "symmetry:2:(0), 3:(40)"}
    name, _, course = name.partition(": ")
    course = course or courses.get(name, f"2:({first}), 3:({second})")
    more = {"cutouts": "crops", "size": (64, 64)} if name == "cut_pow" else {}
    scheduled = build_painting(settings(**{name: course}, **more))
    edited = build_painting(settings(**{name: first}, **more))
    list(run(edited, until=3))
    edited.apply(Edit({name: second}))
    expected = frames_of(edited)
    frames = frames_of(scheduled)
    for got, target in zip(frames[3:], expected, strict=True):
        torch.testing.assert_close(got, target, rtol=1e-6, atol=1e-6)
    assert not torch.equal(frames[-1], frames_of(build_painting(settings(**{name: first}, **more)))[-1])
    assert scheduled.timeline == []


def test_a_plateau_s_factor_is_that_of_the_step_at_which_the_step_size_falls():
    run_settings = settings(
        plateau="0:(2), 5:(1) stepped", plateau_factor="0:(0.5), 6:(0.25) stepped", early_stop="9-t"
    )
    lowest = LowestLoss(1, torch.device("cpu"))
    sizes, ends = [], []
    for step in range(1, 8):
        lowest.see(torch.ones(1), torch.zeros(1, 3, 4, 4), run_settings, step)
        sizes.append(float(lowest.lr(1.0, run_settings)))
        ends.append(lowest.ended(run_settings, step))
    assert sizes == [1, 1, 0.5, 0.5, 0.25, 0.0625, 0.015625], "halved at 3 and 5, quartered at 6 and 7"
    assert ends == [False] * 4 + [True] * 3, "4 steps without a lower loss are enough at step 5"
    later = LowestLoss(1, torch.device("cpu"))
    later.restore({name: value for name, value in lowest.state().items() if name != "factor"})
    assert later.lr(1.0, run_settings.replace(plateau_factor=0.5)) == 0.5**4, "a state that was saved before"


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
    run_settings = settings(
        out=str(tmp_path / "runs"),
        prompt="red @ 0-50% | green @ 50-100% fade 30% eased | blue:(-0.2*s)",
        lr="0:(0.1), 6:(0.013)",
        cutn="1:(2), 5:(4)",
        smoothness="9*s*abs(noise(t))",
        cutouts="crops",
        cut_pow="1 + 3*s",
        textoff="0:(0.3), 7:(0)",
        averaging_weight="0.5*s",
        accumulate="0:(1), 7:(3)",
        plateau="0:(2), 7:(1)",
        plateau_factor="0:(0.9), 8:(0.4)",
    )
    whole = start(run_settings)
    pixels = [frame.image for frame in whole]
    folder = whole.record.finish(whole.painting).parent
    recipe = read(folder / "result.png")["settings"]
    assert (recipe["lr"], recipe["cutn"]) == ("0:(0.1), 6:(0.013)", "1:(2), 5:(4)")
    assert not (folder / "timeline.jsonl").exists() or not (folder / "timeline.jsonl").read_text()

    resumed = resume(folder, step=6)
    assert [torch.equal(frame.image, pixels[frame.step - 1]) for frame in resumed] == [True, True]
    resumed.record.finish(resumed.painting)
    again = replay(folder / "result.png", run_options={"every": 1, "out": str(tmp_path / "again")})
    assert all(torch.equal(frame.image, pixels[frame.step - 1]) for frame in again)


def test_the_command_line_takes_keyframes_and_gives_them_back():
    from vqclip_nb.cli import parser
    from vqclip_nb.cli.info import command
    from vqclip_nb.cli.paint import read_settings

    words = ["red", "--lr", "0:(0.1), 60:(0.05)", "--cutn", "0:(8), 9:(16)"]
    settings = read_settings(parser("paint").parse_args(["paint", *words]))
    assert (str(settings.lr), str(settings.cutn)) == ("0:(0.1), 60:(0.05)", "0:(8), 9:(16)")
    message = command(settings, {"timeline": [], "step": settings.steps}, "result.png")
    assert message == "vqclip paint red --lr '0:(0.1), 60:(0.05)' --cutn '0:(8), 9:(16)'"


def test_the_panel_keeps_keyframes_until_the_control_is_moved():
    from vqclip_nb.studio.form import Form

    messages = []
    form = Form(messages.append)
    run_settings = Settings(lr="0:(0.1), 9:(0.2)", cutn="0:(8), 9:(16)")
    form.load(run_settings.to_dict())
    assert (form.value("lr"), form.value("cutn")) == (run_settings.lr, run_settings.cutn)
    assert Settings(**form.values()).lr == run_settings.lr
    form.controls["cutn"].value = 32
    assert (form.value("cutn"), messages) == (32, ["cutn"])


def test_what_the_panel_pushes_away_may_be_keyframes():
    from vqclip_nb.studio.prompt_box import combine

    assert combine("red", "fog:0:(1), 9:(0.2) | rain") == "red | fog:0:(-1), 9:(-0.2) | rain:-1"
