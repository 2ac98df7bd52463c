"""Groups: batches of pictures that differ in one thing alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from data import Scenes, seen
from perceptor import picture
from scenes import Scene, caption, labels


class Groups:
    """Batches of pictures no two of which show the same: a fifth at random, the others in groups.

    A group has one background, colour and style and a shape from each picture; or one place, time and style and other
    things in each; or all the same but the main thing; or all the same but the style.
    """

    GROUP = 8

    def __init__(self, wide: Scenes, several: list[Scenes], rng: np.random.Generator) -> None:
        self.rng, self.small = rng, np.stack([seen(picture) for picture in wide.pictures])
        self.several = [pictures for data in several for pictures in data.pictures]
        self.scenes = [scene for data in (wide, *several) for scene in data.scenes]
        self.targets = torch.tensor([labels(scene) for scene in self.scenes])
        shapes: dict[tuple, dict[tuple, list[int]]] = {}
        places: dict[tuple, dict[tuple, list[int]]] = {}
        things: dict[Scene, dict[tuple, list[int]]] = {}
        styles: dict[Scene, dict[tuple, list[int]]] = {}
        for index, scene in enumerate(self.scenes):
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
        self.styles = [list(group.values()) for group in styles.values() if len(group) > self.GROUP // 2]

    def __call__(self, size: int) -> tuple[torch.Tensor, list[str], torch.Tensor, torch.Tensor]:
        """At most `size` (pictures in [0, 1], their captions, their labels, whether every attribute is said)."""
        rng, chosen = self.rng, []
        for part, groups in enumerate((self.shapes, self.places, self.things, self.styles), 1):
            while len(chosen) < part * size // 5:
                group = groups[rng.integers(len(groups))]
                chosen += [rng.choice(group[k]) for k in rng.permutation(len(group))[: self.GROUP]]
        chosen += rng.integers(len(self.scenes), size=max(0, size - len(chosen))).tolist()
        chosen = list({self.scenes[index]: int(index) for index in chosen[:size]}.values())
        whole = rng.random(len(chosen)) < 0.9
        texts = [caption(self.scenes[i], rng, whole=bool(w)) for i, w in zip(chosen, whole, strict=True)]
        return self.pictures(chosen), texts, self.targets[chosen], torch.from_numpy(whole).float()

    def pictures(self, chosen: list[int]) -> torch.Tensor:
        """A picture of each of these scenes, mirrored or not: (n, 3, SEEN, SEEN) in [0, 1]."""
        pictures = picture(np.stack([self._pixels(index) for index in chosen]))
        mirrored = torch.rand(len(pictures), 1, 1, 1) < 0.5
        return torch.where(mirrored, pictures.flip(3), pictures)

    def _pixels(self, index: int) -> np.ndarray:
        if index < len(self.small):
            return self.small[index]
        several = self.several[index - len(self.small)]
        return several[self.rng.integers(len(several))]
