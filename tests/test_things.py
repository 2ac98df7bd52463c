"""The drawn things of the demo pair's world: captions, words and poses. No drawing is needed for them."""

import itertools
import re

import numpy as np
import pytest
import torch
import world
from scenes import Scene
from thing_data import pose_numbers, with_other_nouns
from things import NOUNS, Pose, Thing, caption, draw_pose, things

from vqclip_nb.drawn_things import plural
from vqclip_nb.models.prior import CONTEXT, NONE, POSE, SIDE, Prior, grid


def some(count: int, *, held_out: bool = False) -> list[tuple[Thing, np.random.Generator]]:
    return list(itertools.islice(things(5, held_out=held_out), count))


def test_captions_use_only_words_that_are_taught_and_tell_unequal_scenes_apart():
    words, by_caption = world.all_words(), {}
    for thing, rng in some(600):
        assert set(re.findall(r"[\w-]+", caption(thing, rng))) <= words
        assert by_caption.setdefault(caption(thing), thing) == thing


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (Thing("cat", background="white"), "a cat on a white background"),
        (Thing("owl", place="forest", time="night"), "an owl in a forest at night"),
        (Thing("mouse", "mouse", background="red"), "two mice on a red background"),
        (Thing("grapes", "apple", place="sea", time="day"), "grapes and an apple by the sea by day"),
        (Thing("dragon", place="desert", time="sunset", main="castle", style="flat"), None),
    ],
)
def test_captions_are_plain_english(thing, words):
    assert caption(thing) == (words or "a dragon and a castle in the desert at sunset, flat")


def test_words_in_the_plural():
    assert [plural(noun) for noun in ("fox", "cherries", "butterfly", "monkey", "bus", "witch")] == [
        *("foxes", "cherries", "butterflies", "monkeys", "buses", "witches")
    ]


def test_training_and_held_out_scenes_are_apart():
    train, held = ({thing for thing, _ in some(400, held_out=side)} for side in (False, True))
    assert not train & held


def test_a_group_differs_in_the_noun_alone():
    group = [thing for thing, _ in itertools.islice(with_other_nouns(things(5, held_out=False)), 6)]
    assert len({thing.noun for thing in group}) == 6
    assert len({(thing.background, thing.place, thing.time, thing.style) for thing in group}) == 1


def test_labels_name_what_a_scene_has():
    named = lambda scene: {  # noqa: E731
        name: options[k] for (name, options), k in zip(world.ATTRIBUTES.items(), world.labels(scene), strict=True)
    }
    assert Scene(**{name: value for name, value in named(Scene(shape="star", colour="red")).items() if value}) == Scene(
        shape="star", colour="red"
    )
    thing = named(Thing("cat", "dog", place="snow", time="night", style="3d"))
    assert {name: value for name, value in thing.items() if value} == {
        "noun": "cat", "second": "dog", "place": "snow", "time": "night", "style": "3d",
    }  # fmt: skip


def test_the_prior_draws_a_thing_where_its_pose_says():
    torch.manual_seed(0)
    pose = pose_numbers(Pose(things=[(0.7, 0.3, 0.4, 0.0, False)]))
    assert pose.shape == (POSE,)
    assert pose[-1] < NONE, "there is no second thing"
    inside = (grid(torch.from_numpy(pose[None, 2:7])).abs() < 1).all(-1)[0]
    rows, columns = (inside.any(dim).nonzero()[:, 0].float() for dim in (1, 0))
    assert (float(columns.mean() + 0.5) / SIDE, float(rows.mean() + 0.5) / SIDE) == pytest.approx((0.7, 0.3), abs=0.01)
    assert len(rows) / SIDE == pytest.approx(0.44, abs=0.02)

    prior = Prior(20)
    tokens = torch.randint(1, 20, (1, CONTEXT))
    there = prior(tokens, torch.from_numpy(pose[None]))
    away = prior(tokens, torch.from_numpy(pose_numbers(Pose(things=[(0.3, 0.7, 0.4, 0.0, False)]))[None]))
    changed = (there - away).abs().mean(1)[0] > 1e-4
    assert changed[inside].float().mean() > 0.5
    assert not changed[:8, :8].any(), "a corner that neither reaches is the background's"


def test_every_noun_can_be_posed():
    for noun in NOUNS:
        (x, y, side, _, _), *_ = draw_pose(Thing(noun, place="sea", time="day"), np.random.default_rng(0)).things
        assert side / 2 < y < 1 - side / 4
        assert 0.4 < x < 0.6
