"""Scenes with drawn things in them: captioned pictures from a seed, beside those of scenes.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field

import numpy as np
from drawings import drawing, place
from scenes import (
    COLOURS,
    HELD_OUT,
    LIGHT,
    MAIN,
    PLACES,
    RENDER,
    SCALE,
    STYLES,
    TIMES,
    Easel,
    Scene,
    article,
    draw_landscape,
    set_minus,
    shade,
)  # fmt: skip

from vqclip_nb.drawn_things import named, several, words

NOUNS = tuple(words())
SIZE = 256
OWN_STYLES = {"3d": "3d", "flat": "flat"}  # those of the sets: the first, the second


@dataclass(frozen=True)
class Thing:
    """What a picture shows: a drawn thing, perhaps a second one or the same twice, on a colour or in a place."""

    noun: str
    second: str | None = None  # the same noun: two of them
    background: str | None = None
    place: str | None = None
    time: str | None = None
    main: str | None = None  # of the painted world, behind it
    style: str | None = None

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept out of training; a function of the attributes alone."""
        return hashlib.blake2b(repr(astuple(self)).encode(), digest_size=8).digest()[0] % HELD_OUT == 0


@dataclass
class Pose:
    """Where each thing stands and how: what the words do not say. All in shares of the picture's side."""

    which: int = 0  # the set
    horizon: float = 0.55
    things: list[tuple[float, float, float, float, bool]] = field(default_factory=list)  # x, y, side, turn, mirrored


def draw_thing(rng: np.random.Generator) -> Thing:
    def pick(options):
        options = tuple(options)
        return options[rng.integers(len(options))]

    noun, chance = pick(NOUNS), rng.random()
    second = noun if chance < 0.08 else pick(set_minus(NOUNS, noun)) if chance < 0.22 else None
    style = pick(set_minus(STYLES, None)) if rng.random() < 0.28 else pick(OWN_STYLES) if rng.random() < 0.28 else None
    if rng.random() < 0.5:
        return Thing(noun, second, background=pick(COLOURS), style=style)
    main = pick(set_minus(MAIN, None, "boat", "house")) if second is None and rng.random() < 0.12 else None
    return Thing(noun, second, place=pick(PLACES), time=pick(TIMES), main=main, style=style)


def things(seed: int, *, held_out: bool) -> Iterator[tuple[Thing, np.random.Generator]]:
    """Endless (thing, generator) pairs from one seed; the generator paints and words it."""
    index = 0
    while True:
        rng = np.random.default_rng((seed, 1, index))
        thing = draw_thing(rng)
        index += 1
        if thing.held_out == held_out:
            yield thing, rng


# --- words -----------------------------------------------------------------------------------------------------------


def caption(thing: Thing, rng: np.random.Generator | None = None, *, whole: bool = True) -> str:
    """One way to say what it shows, the first noun first; without a generator always the same words."""

    def pick(*options):
        return options[0] if rng is None else options[rng.integers(len(options))]

    def keep(share):
        return whole or rng is None or rng.random() < share

    def word(noun):
        also = words()[noun][2]
        return noun if rng is None or not also or rng.random() < 0.8 else pick(*also)

    noun = word(thing.noun)
    if thing.second == thing.noun:
        body = f"two {several(noun)}"
    elif thing.second:
        pair = [named(noun), named(word(thing.second))]
        body = pick(" and ", " and ", " with ").join(pair)
    else:
        body = named(noun)
    if thing.main:
        body = pick(f"{body} and a {thing.main}", f"{body} and a {thing.main}", f"{body} with a {thing.main}")
    if thing.background:
        if keep(0.4):
            body += pick(
                f" on {article(thing.background)} background",
                f" on {thing.background}",
                f" in front of {article(thing.background)} background",
            )
    else:
        where = pick(*PLACES[thing.place]) if keep(0.5) else ""
        when = pick(*TIMES[thing.time]) if keep(0.5) else ""
        body = " ".join(part for part in pick((body, where, when), (body, where, when), (body, when, where)) if part)
    if thing.style is None or not keep(0.6):
        return body
    if thing.style in OWN_STYLES:
        return pick(f"{body}, {thing.style}", f"{body}, {thing.style} art", f"{thing.style} art of {body}")
    style = STYLES[thing.style][0]
    if style == "pixel art":
        return pick(f"{body}, pixel art", f"pixel art of {body}")
    return pick(f"{body}, {style}", f"{style} of {body}")


def all_words() -> set[str]:
    """Every word that these captions can hold beside those of `scenes.all_words`."""
    found = {"two", "art", *OWN_STYLES}
    for noun, (_, _, also) in words().items():
        for name in (noun, *also):
            found |= {*name.split(), *several(name).split()}
    return found


# --- the painter -----------------------------------------------------------------------------------------------------


def draw_pose(thing: Thing, rng: np.random.Generator) -> Pose:
    which = {"3d": 0, "flat": 1}.get(thing.style or "")
    pose = Pose(int(rng.choice(3, p=(0.5, 0.2, 0.3))) if which is None else which, rng.uniform(0.50, 0.60))
    several = thing.second is not None
    for k, noun in enumerate((thing.noun, *([thing.second] if several else []))):
        side = rng.uniform(0.36, 0.46) if several else rng.uniform(0.5, 0.72)
        x = rng.uniform(0.22, 0.3) + 0.48 * k if several else rng.uniform(0.42, 0.58)
        if thing.background:
            y = rng.uniform(0.44, 0.56)
        elif words()[noun][0] == "flying":
            y = rng.uniform(0.32, 0.46)
        else:
            y = rng.uniform(0.80, 0.90) - side / 2
        pose.things.append((x, y, side, rng.normal(0, 6), bool(rng.random() < 0.5)))
    return pose


def paint(thing: Thing, rng: np.random.Generator, pose: Pose | None = None, size: int = SIZE) -> np.ndarray:
    """The picture as RGB uint8, (size, size, 3)."""
    pose = pose or draw_pose(thing, rng)
    easel = Easel(size, (1, 1, 1) if thing.background else LIGHT[thing.time])
    if thing.background:
        back = np.clip(np.array(COLOURS[thing.background]) + rng.normal(0, 6, 3), 0, 255)
        easel.rows([shade(back, 1.06), shade(back, 0.94)])
        light = np.ones(3)
    else:
        draw_landscape(easel, Scene(place=thing.place, time=thing.time, main=thing.main), rng)
        light = 1 + (np.array(LIGHT[thing.time]) - 1) * 0.55
    board = np.asarray(easel.image.reduce(SCALE), np.float32) / 255
    for noun, (x, y, side, turn, mirrored) in zip((thing.noun, thing.second), pose.things, strict=False):
        place(board, drawing(noun, pose.which), (x, y), side=side, turn=turn, mirrored=mirrored, light=light)
    return RENDER[thing.style if thing.style not in OWN_STYLES else None](board, rng)
