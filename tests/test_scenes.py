"""The demo pair's world: scenes come from their seed alone, and captions stay inside the words that are taught."""

import itertools
import re

import numpy as np
import pytest
from scenes import ATTRIBUTES, RENDER, Scene, all_words, caption, labels, paint, scenes


def some(count: int, *, held_out: bool = False, seed: int = 5) -> list[tuple[Scene, np.random.Generator]]:
    return list(itertools.islice(scenes(seed, held_out=held_out), count))


def test_a_seed_paints_the_same_scenes_again():
    for (scene, rng), (again, same) in zip(some(6), some(6), strict=True):
        assert scene == again
        assert np.array_equal(paint(scene, rng, 64), paint(again, same, 64))


def test_captions_use_only_words_that_are_taught():
    for scene, rng in some(300):
        assert set(re.findall(r"\w+", caption(scene, rng))) <= all_words()


def test_a_whole_caption_tells_unequal_scenes_apart():
    message: dict[str, Scene] = {}
    for scene, _ in some(800):
        assert message.setdefault(caption(scene), scene) == scene


def test_a_tenth_of_the_combinations_is_never_trained_on():
    train, held = ({scene for scene, _ in some(400, held_out=side)} for side in (False, True))
    assert not train & held
    share = np.mean([scene.held_out for scene, _ in some(400) + some(44, held_out=True)])
    assert share == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("style", RENDER)
def test_every_style_changes_the_picture_and_keeps_its_form(style):
    scene = Scene(place="sea", time="day", main="boat", main_colour="red", style=style)
    plain = Scene(place="sea", time="day", main="boat", main_colour="red")
    picture, other = (paint(s, np.random.default_rng(1)) for s in (scene, plain))
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == np.uint8
    assert (np.abs(picture.astype(int) - other).mean() > 4) == (style is not None)


def test_labels_name_every_attribute():
    scene = Scene(shape="star", colour="green", background="yellow", style="mosaic")
    named = {name: options[k] for (name, options), k in zip(ATTRIBUTES.items(), labels(scene), strict=True)}
    assert Scene(**named) == scene
