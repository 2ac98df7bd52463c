"""Prompts that name a drawn thing: which words count, who paints them, and how they start."""

import warnings

import pytest
import torch
from torch.nn.functional import interpolate

from vqclip_nb import Settings, paint
from vqclip_nb.drawn_things import caption, drawn_by_prior, first_in, perceptors, prompt_naming
from vqclip_nb.errors import PaintWarning, SettingsError
from vqclip_nb.models import load_prior
from vqclip_nb.objectives.guide import Guide
from vqclip_nb.rng import Draws
from vqclip_nb.runs import metadata
from vqclip_nb.session import build_painting
from vqclip_nb.timeline import Edit

SMALL = {"canvas": "pixels", "size": (64, 64), "steps": 2, "cutn": 2, "device": "cpu"}


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("a painting of an apple in a fruit bowl", "apple"),
        ("two kittens by the sea", "kittens"),
        ("A Polar sky, and a Hot Dog", "Hot Dog"),
        ("mice and cherries", "mice"),
        ("two wolves under the clouds", "wolves"),
        ("old men and geese", "old men"),
        ("a red circle on an orange background", None),  # a colour
        ("a scary carpet", None),  # no car
        ("a castle at night, a pencil sketch", None),
        ("a hand-drawn castle", None),
        ("a castle with many windows and a red door", None),
        ("a door in the forest", "door"),
        ("a castle with a dragon", "dragon"),
    ],
)
def test_a_thing_is_found_as_a_whole_word_in_singular_and_plural(text, thing):
    assert first_in(text) == thing


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a painting of an apple in a fruit bowl", "an apple by the sea by day"),  # a place by the seed
        ("Two Kittens on the beach at dusk", "two cats by the sea at sunset"),
        ("a unicorn and a robot on a pink background, 3d", "a unicorn and a robot on a pink background, 3d"),
        ("an owl over mice in the snow", "an owl in a snowy field by day"),
        ("a clown in a city, a pencil sketch", "a clown in a city by day"),
    ],
)
def test_the_prior_is_given_the_words_that_it_was_trained_with(text, words):
    assert caption(text, seed=2) == words


def test_only_a_prompt_that_pulls_names_a_thing():
    assert prompt_naming("a castle | a cat:-1") is None
    assert prompt_naming("a castle | a cat in snow:0.5") == "a cat in snow"
    assert prompt_naming("a castle | a dog:0:(0), 60:(1)") == "a dog"


def test_the_perceptor_of_drawn_things_takes_the_place_of_demo_and_of_no_other():
    assert perceptors("demo:2 + ViT-B/32", "a cat") == {"demo-things": 2.0, "ViT-B/32": 1.0}
    assert perceptors("demo", "a castle") == {"demo": 1.0}


def test_the_prior_draws_where_the_demo_guides_and_where_it_is_asked_for():
    prompt = "a castle | a cat"
    assert drawn_by_prior(Settings(prompt=prompt)) == "a cat"
    assert drawn_by_prior(Settings(prompt=prompt, perceptor="ViT-B/32")) is None
    assert drawn_by_prior(Settings(prompt=prompt, perceptor="ViT-B/32", start="prior")) == "a cat"
    assert drawn_by_prior(Settings(prompt=prompt, start="noise")) is None
    assert drawn_by_prior(Settings(prompt=prompt, init_image="cat.png")) is None
    with pytest.raises(SettingsError, match=r"start prior draws things .* got 'a castle'; add --start noise"):
        Settings(prompt="a castle", start="prior")


def test_the_prior_draws_the_same_picture_for_a_seed_alone_and_in_a_batch_and_others_for_others():
    prior = load_prior()
    pair = prior.pictures("a rocket on a white background", Draws((0, 1)))
    assert pair.shape == (2, 3, 128, 128)
    torch.testing.assert_close(prior.pictures("a rocket on a white background", Draws((1,))), pair[1:])
    assert (pair[0] - pair[1]).abs().mean() > 0.02
    assert pair[:, :, :4, :4].mean() > 0.85, "the background is white"


def test_a_painting_starts_from_the_priors_drawing_and_the_strength_mixes_it_with_noise():
    def first(**values):
        return next(paint(Settings(**{"prompt": "a pyramid in the desert", **SMALL, **values}))).image

    noise, half, whole = first(start="noise"), first(start_strength=0.5), first()
    drawing = load_prior().pictures("a pyramid in the desert", Draws((0,), owner="prior/"))
    drawing = interpolate(drawing, (64, 64), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(whole, drawing, atol=1e-5, rtol=0)
    torch.testing.assert_close(half, (noise + drawing) / 2, atol=1e-5, rtol=0)
    assert (noise - drawing).abs().mean() > 0.1
    wide = first(size=(128, 64))
    torch.testing.assert_close(wide[..., 32:96], drawing, atol=1e-5, rtol=0)
    edge = wide[..., 32:33].expand(-1, -1, -1, 32)  # repeated where the picture is wider than the square
    torch.testing.assert_close(wide[..., :32], edge, atol=1e-5, rtol=0)


def test_a_picture_from_before_the_demo_knew_its_thing_is_said_to_differ():
    settings = Settings(prompt="a cat")
    own = metadata.model_hashes(settings)
    with warnings.catch_warnings(action="error"):
        metadata.compare(own, settings)
    earlier = metadata.model_hashes(settings.replace(prompt="a castle"))
    with pytest.warns(PaintWarning, match="now know a drawn thing in this prompt"):
        metadata.compare(earlier, settings)


def test_words_that_name_a_thing_only_later_bring_its_perceptor():
    painting = build_painting(Settings(prompt="a castle", **SMALL))
    painting.step()
    painting.apply(Edit({"prompt": "a rocket"}))
    assert {term.objective.perceptor.name for term in painting.terms if isinstance(term.objective, Guide)} == {
        "demo-things"
    }
    assert painting.step().losses["a rocket"] > 0


def test_a_start_from_the_prior_is_resumed_with_its_small_steps_until_the_words_change():
    run_settings = Settings(prompt="a pyramid in the desert", **SMALL | {"steps": 6})
    whole = build_painting(run_settings)
    for _ in range(2):
        whole.step()
    resumed = build_painting(run_settings, state=whole.state_dict())
    for painting in (whole, resumed):
        painting.step()
    assert whole.lr_scale == resumed.lr_scale == 0.01
    assert resumed.picture().equal(whole.picture())

    whole.apply(Edit({"prompt": "a castle"}))
    assert whole.lr_scale == build_painting(run_settings, state=whole.state_dict()).lr_scale == 1.0


def test_a_drawing_is_not_re_encoded_while_it_is_refined_unless_somebody_asks():
    run_settings = Settings(prompt="a pyramid in the desert", **SMALL | {"canvas": "vqgan/demo", "steps": 6})
    painting = build_painting(run_settings)
    assert (painting.tidy_every, painting.canvas.tidy_every) == (0, 3)
    painting.apply(Edit({"prompt": "a castle"}))
    assert painting.tidy_every == 3
    assert build_painting(run_settings.replace(canvas_options={"tidy": 2})).tidy_every == 2
    assert build_painting(run_settings.replace(start="noise")).tidy_every == 3
