"""A prompt for a part of the picture pulls there and nowhere else, and is read as it was written."""

from unittest import mock

import pytest
import torch
from PIL import Image

from tests.test_resume import left_off, outcome, see_through, settings
from tests.toys import ToyPerceptor, toy_models
from vqclip_nb import prompts, video
from vqclip_nb.errors import PictureError, SettingsError
from vqclip_nb.objectives.build import Builder
from vqclip_nb.objectives.window import Window
from vqclip_nb.prompts import Prompt
from vqclip_nb.regions import Region
from vqclip_nb.rng import Draws
from vqclip_nb.schedules import Schedule
from vqclip_nb.session import build_painting, replay, resume, start
from vqclip_nb.spans import Span

LEFT = Region(("0", "0", "50%", "100%"))


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("red [0 0 50% 100%]", Prompt("red", region=LEFT)),
        ("red [0, 0, 50%, 100%]:1.5", Prompt("red", 1.5, region=LEFT)),
        ("red 2 [0 0 50% 100%]:3:-0.2", Prompt("red 2", 3, -0.2, LEFT)),
        ('"a: b" [mask 2]:2', Prompt("a: b", 2, region=Region(mask=2))),
        ('"red [0 0 50% 100%]"', Prompt("red [0 0 50% 100%]")),
        ("red @ 0-40%", Prompt("red", span=Span(0, 0.4))),
        (
            "red [mask 1] @ 12.5 - 40 % fade 0% eased:2",
            Prompt("red", 2, region=Region(mask=1), span=Span(0.125, 0.4, (0, 0), True)),
        ),
        ('"red @ 0-40%":2', Prompt("red @ 0-40%", 2)),
        ("red @ 0-40% fade 10-0%", Prompt("red", span=Span(0, 0.4, (0.1, 0)))),
        ("red @ noon", Prompt("red @ noon")),
        ("red:((1 - s)*(t + 1)):-0.5", Prompt("red", Schedule.parse("(1 - s)*(t + 1)"), -0.5)),
        ("red:((1 - s))", Prompt("red", Schedule.parse("1 - s"))),
        ("Blade Runner: (1982)", Prompt("Blade Runner: (1982)")),
        ("red [Explored] [1 2 3]", Prompt("red [Explored] [1 2 3]")),
        ("[0 0 50% 100%]", Prompt("[0 0 50% 100%]")),
    ],
)
def test_a_region_is_read_and_written(line, prompt):
    assert prompts.parse(line) == (prompt,)
    assert prompts.parse(str(prompt)) == (prompt,)


def test_two_spans_fade_into_each_other():
    house, snow = Span(0, 0.4, (0.2, 0.2)), Span(0.4, 1, (0.2, 0))
    shares = [(house.share(s), snow.share(s)) for s in (0, 0.3, 0.35, 0.4, 0.5, 0.99)]
    expected = [(1, 0), (1, 0), (0.75, 0.25), (0.5, 0.5), (0, 1), (0, 1)]
    assert [pytest.approx(pair) for pair in expected] == shares
    assert Span(0.5, 1, (0.2, 0.2), True).share(0.45) == pytest.approx(3 / 16 - 2 / 64)


def test_a_part_of_the_run_without_a_prompt_is_said():
    assert prompts.doubts("red @ 0-40% | blue @ 60-100%") == ["no prompt pulls from 40 to 60 % of the run"]
    assert prompts.doubts("red @ 0-60% | blue @ 40-100%") == prompts.doubts("red @ 0-40% | blue") == []
    assert "'a @ 0-50% | b @ 50-100%'" in prompts.doubts("a ^ b")[0]


def test_edges_are_pixels_or_percent():
    assert Region(("10", "0", "50%", "12.5%")).box((200, 80)) == (10, 0, 100, 10)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("red [50% 0 50% 100%]", "must hold some pixels, got [50% 0 50% 100%]"),
        ("red [0 0 4000 100%]", "must lie within the picture, got [0 0 4000 100%]"),
        ("red @ 40-40%", "must begin before it ends, within 0 and 100 %, got @ 40-40%"),
        ("red @ 40-140%", "must begin before it ends, within 0 and 100 %, got @ 40-140%"),
        ("red [mask 1]", "prompt must name a mask that is there, got [mask 1]"),
    ],
)
def test_a_region_or_a_span_that_is_none_is_one_clear_line(prompt, message):
    from vqclip_nb import Settings

    with pytest.raises(SettingsError) as error:
        Settings(prompt=prompt)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_views_are_cut_from_the_region_and_gradients_fade_beside_it():
    area = Image.new("L", (40, 30))
    area.paste(255, (10, 0, 30, 20))
    image = torch.rand(2, 3, 30, 40, requires_grad=True)
    view = Window(area)(image)
    torch.testing.assert_close(view, image[..., :22, 8:32])  # a margin of 2, a tenth of 20, where there is room
    view.sum().backward()
    assert (image.grad[0, 0, :20, 10:30] == 1).all()
    torch.testing.assert_close(image.grad[0, 0, 5, 7:11], torch.tensor([0, 1 / 3, 2 / 3, 1]))
    assert (image.grad[..., 22:, :] == 0).all()


@pytest.mark.parametrize("prompt", ["red [25% 0 75% 100%]", "red [mask 1]"])
@pytest.mark.parametrize(("feather", "width"), [(0, 0), (4, 4), (12, 10), (None, 2)])
def test_feather_is_the_width_of_the_fade_beside_a_rectangle_and_a_mask(tmp_path, prompt, feather, width):
    """By a formula of the distance from the region, until the picture ends."""
    area = Image.new("L", (40, 30))
    area.paste(255, (10, 0, 30, 30))
    area.save(tmp_path / "mask.png")
    run_settings = settings(
        tmp_path, prompt=prompt, size=(40, 30), feather=feather, prompt_masks=(str(tmp_path / "mask.png"),)
    )
    image = torch.rand(1, 3, 30, 40, requires_grad=True)
    view = Window.of(prompts.parse(prompt)[0].region, run_settings)(image)
    assert view.shape[-2:] == (30, 20 + 2 * width)
    view.sum().backward()
    wide = 2 if feather is None else feather
    distance = torch.arange(10, 0, -1.0)  # of the columns left of the region
    torch.testing.assert_close(image.grad[0, 0, 7, :10], (1 - distance / (wide + 1)).clamp(min=0))
    torch.testing.assert_close(image.grad, image.grad.flip(-1))
    assert (image.grad[..., 10:30] == 1).all()


def test_regions_share_the_cutouts_of_a_step(tmp_path):
    run_settings = settings(
        tmp_path, prompt="red | blue [0 0 50% 100%] | green [mask 1]", cutn=8, prompt_masks=("m.png",)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Window, "of", classmethod(lambda *_, **__: Window(Image.new("L", (16, 16), 255))))
        terms = Builder(mock.Mock(), {"demo": [ToyPerceptor()]}, device=torch.device("cpu"))(run_settings)
    guides = [term.objective for term in terms if hasattr(term.objective, "cutouts")]
    assert [guide.cutouts.cutn for guide in guides] == [3, 3, 2]
    losses = [name for guide in guides for name in guide(torch.rand(1, 3, 16, 16), Draws((0,)), 0)]
    assert losses == ["red", "blue [0 0 50% 100%]", "green [mask 1]"]


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    with toy_models():
        yield


@pytest.mark.parametrize("right", ["blue [50% 0 100% 100%]", "blue [mask 1]"])
def test_each_half_becomes_its_own_colour_when_resumed_and_replayed_too(tmp_path, toys, right):
    mask = Image.new("L", (32, 32))
    mask.paste(255, (16, 0, 32, 32))
    mask.save(tmp_path / "mask.png")
    run_settings = settings(
        tmp_path,
        prompt=f"red [0 0 50% 100%] | {right}",
        prompt_masks=(str(tmp_path / "mask.png"),),
        canvas="pixels",
        size=(32, 32),
        cutn=4,
        steps=40,
        lr=0.05,
        average=0,
        smoothness=0,
    )
    whole = see_through(start(run_settings))
    cut = left_off(start(run_settings), after=5)
    (tmp_path / "mask.png").unlink()
    assert outcome(see_through(resume(cut))) == outcome(whole)
    assert outcome(see_through(replay(whole))) == outcome(whole)
    picture = Image.open(whole / "result.png")
    left, right = (picture.crop(box).resize((1, 1)).getpixel((0, 0)) for box in ((0, 0, 14, 32), (18, 0, 32, 32)))
    assert left[0] > left[2] + 40, left
    assert right[2] > right[0] + 40, right


@pytest.mark.parametrize(("size", "warns"), [((40, 20), True), ((64, 64), False), ((65, 64), False)])
def test_a_mask_of_another_shape_is_cropped_and_said(tmp_path, toys, size, warns, recwarn):
    Image.new("L", size, 255).save(tmp_path / "mask.png")
    masks = (str(tmp_path / "mask.png"),)
    build_painting(settings(tmp_path, prompt="red [mask 1]", size=(32, 32), prompt_masks=masks))
    sentence = "prompt mask 1 has 40 x 20 pixels and the picture 32 x 32; it is scaled, and cropped to that shape"
    assert [str(warning.message) for warning in recwarn] == [sentence] * warns


def test_a_black_mask_is_refused(tmp_path, toys):
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    run_settings = settings(tmp_path, prompt="red [mask 1]", prompt_masks=(str(tmp_path / "black.png"),))
    with pytest.raises(PictureError, match="must show where a prompt applies"):
        start(run_settings)
