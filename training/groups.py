"""Groups: batches of pictures that differ in one thing alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scenes import Scene
from things import Thing


class Groups:
    """Batches of scenes no two of which are the same: a fifth at random, the others in groups; where there are drawn
    things, half of a batch is groups that differ in the thing.

    A group has one background, colour and style and a shape from each picture; or one place, time and style and other
    things in each; or all the same but the main thing; or all the same but the style.
    """

    GROUP = 8

    def __init__(self, scenes: list[Scene | Thing], rng: np.random.Generator) -> None:
        self.rng = rng
        number: dict[Scene | Thing, int] = {}
        self.same = [number.setdefault(scene, len(number)) for scene in scenes]
        self.different = len(number)
        shapes: dict[tuple, dict[tuple, list[int]]] = {}
        places: dict[tuple, dict[tuple, list[int]]] = {}
        things: dict[Scene, dict[tuple, list[int]]] = {}
        styles: dict[Scene, dict[tuple, list[int]]] = {}
        drawn: dict[Thing, dict[tuple, list[int]]] = {}
        for index, scene in enumerate(scenes):
            if isinstance(scene, Thing):
                group = drawn.setdefault(replace(scene, noun="", second=None), {})
                group.setdefault((scene.noun, scene.second), []).append(index)
                continue
            if scene.shape:
                group = shapes.setdefault((scene.colour, scene.background, scene.style), {})
                group.setdefault((scene.shape,), []).append(index)
            else:
                group = places.setdefault((scene.place, scene.time, scene.style), {})
                held = (scene.main, scene.main_colour, scene.extra, scene.extra_colour)
                group.setdefault(held, []).append(index)
                group = things.setdefault(replace(scene, main=None, main_colour=None), {})
                group.setdefault((scene.main,), []).append(index)
            plain = styles.setdefault(replace(scene, style=None), {})
            plain.setdefault((scene.style,), []).append(index)
        self.shapes = [list(group.values()) for group in shapes.values() if len(group) > self.GROUP // 2]
        self.places = [list(group.values()) for group in places.values() if len(group) >= self.GROUP]
        self.things = [list(group.values()) for group in things.values() if len(group) >= self.GROUP // 2]
        self.drawn = [list(group.values()) for group in drawn.values() if len(group) >= self.GROUP // 2]
        self.styles = [list(group.values()) for group in styles.values() if len(group) > self.GROUP // 2]

    def __call__(self, size: int) -> np.ndarray:
        """The indices of `size` scenes, or of as many as differ."""
        rng, chosen = self.rng, []
        size = min(size, self.different)
        kinds = [(self.shapes, 1), (self.places, 1), (self.things, 1), (self.styles, 1), (self.drawn, 5)]
        kinds = [(groups, share) for groups, share in kinds if groups]
        whole, part = 1 + sum(share for _, share in kinds), 0
        for groups, share in kinds:
            part += share
            while len(chosen) < part * size // whole:
                group = groups[rng.integers(len(groups))]
                several = [group[k] for k in rng.permutation(len(group))[: self.GROUP]]
                chosen += [each[rng.integers(len(each))] for each in several]
        unlike = {self.same[index]: index for index in chosen[:size]}
        while len(unlike) < size:
            index = int(rng.integers(len(self.same)))
            unlike[self.same[index]] = index
        return np.array(list(unlike.values()))
