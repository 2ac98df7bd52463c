"""Flow: what teaches a perceptor that its gradient leads from any picture to one that fits the words.

Painting follows the gradient of the cosine between picture and words. Here that gradient is trained to be what a
denoiser or a flow (Lipman et al., 2023) would say: the way from where a picture is to a true one. The second
derivative does it (as in energy-based models trained by denoising score matching, Song & Kingma, 2021). True pictures
thus become the top of the hill, not one of many places on its side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb import canvases
from vqclip_nb.chance import Draws
from vqclip_nb.cutouts import POOLING_AUGMENT, Cutouts, _Chances, _pool, _recoloured, _warp

CUT = 64


@torch.no_grad()
def starts(count: int, size: int = 192) -> Tensor:
    """What a perceptor sees of the pictures that paintings begin with: (count, 3, CUT, CUT)."""
    seen = []
    for first in range(0, count, 8):
        seeds = tuple(range(10_000 + first, 10_000 + min(first + 8, count)))
        seen.append(_pool(canvases.make("vqgan/demo", size=(size, size), seeds=seeds)(), CUT))
    return torch.cat(seen)


def views(pictures: Sequence[Tensor], rng: np.random.Generator) -> tuple[list[Tensor], Tensor]:
    """Each of several (n, 3, CUT, CUT) as one cutout sees it, all in the same way, and the noise of that cutout."""
    count, place = len(pictures[0]), pictures[0].device
    seeds = tuple(int(seed) for seed in rng.integers(2**31, size=count))
    chances = _Chances(POOLING_AUGMENT, Draws(seeds, device=place), Cutouts("pooling", CUT, 1))
    moved = _warp(torch.cat(list(pictures), 1), chances.affine, chances.perspective)
    kept, hue, saturation = chances.kept_area(moved), chances.hue.to(place), chances.saturation.to(place)
    return [_recoloured(part, hue=hue, saturation=saturation) * kept for part in moved.split(3, 1)], chances.noise()


def spoiled(true: Tensor, others: Tensor, begun: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures on the way to the true ones: from a painting's start, from another scene, or from their own blur."""
    mixed, out = torch.rand(len(true), 1, 1, 1, device=true.device), torch.empty_like(true)
    for k, kind in enumerate(rng.choice(3, size=len(true), p=(0.45, 0.15, 0.4))):
        if kind < 2:
            out[k] = torch.lerp((begun, others)[kind][k], true[k], mixed[k])
        else:
            cells = int(rng.choice((2, 3, 4, 6, 8, 12, 16, 24)))
            coarse = F.interpolate(true[k : k + 1], size=(cells, cells), mode="area")
            soft = F.interpolate(coarse, size=(CUT, CUT), mode="bicubic")[0]
            out[k] = torch.lerp(soft, true[k], float(rng.random()) / 2)
            if rng.random() < 0.5:
                out[k] = torch.lerp(out[k], begun[k], mixed[k] / 2)
    cells = int(rng.choice((4, 8, 16, 32)))
    grain = F.interpolate(torch.randn(len(true), 3, cells, cells, device=true.device), size=(CUT, CUT), mode="bicubic")
    level = 0.25 * torch.rand_like(mixed) * (torch.rand_like(mixed) < 0.5)
    return (out + level * grain).clamp(0, 1)


class Painted:
    """Pictures that the perceptor itself is painting, each for the caption of a scene, a few steps at each visit."""

    LIFE = 150  # steps, then a picture begins anew for another scene

    def __init__(self, count: int, scenes: int, begun: Tensor, rng: np.random.Generator) -> None:
        self.scenes, self.begun, self.rng = scenes, begun, rng
        self.owner, self.age = np.zeros(count, int), np.zeros(count, int)
        self.pictures = torch.empty(count, *begun.shape[1:], device=begun.device)
        self._anew(np.arange(count))

    def choose(self, count: int) -> np.ndarray:
        """Places to visit, drawn at random, the scenes that own them all different; the old begin anew."""
        places = self.rng.permutation(len(self.owner))
        _, first = np.unique(self.owner[places], return_index=True)
        chosen = places[np.sort(first)[:count]]
        self._anew(chosen[(self.age[chosen] >= self.LIFE) | (self.rng.random(len(chosen)) < 0.04)])
        return chosen

    def paint(self, encode, places: np.ndarray, words: Tensor, steps: int = 3, rate: float = 0.03) -> Tensor:
        """The pictures at these places after some more steps towards their words, (m, 3, CUT, CUT)."""
        pictures = self.pictures[places]
        for _ in range(steps):
            pictures = pictures.detach().requires_grad_()
            (seen,), noise = views([pictures], self.rng)
            (gradient,) = torch.autograd.grad((encode(seen + noise) * words).sum(), pictures)
            gradient = F.avg_pool2d(F.avg_pool2d(gradient, 3, 1, 1), 3, 1, 1)
            size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
            pictures = (pictures.detach() + rate * gradient / size).clamp(0, 1)
        self.pictures[places] = pictures
        self.age[places] += steps
        return pictures

    def _anew(self, places: np.ndarray) -> None:
        self.owner[places] = self.rng.integers(self.scenes, size=len(places))
        self.pictures[places] = self.begun[self.rng.integers(len(self.begun), size=len(places))]
        self.age[places] = 0


def nearest(pictures: Tensor, candidates: Tensor) -> Tensor:
    """Of each picture's candidates, (m, k, 3, CUT, CUT), the one nearest to it at half the size: (m, 3, CUT, CUT)."""
    small = F.avg_pool2d(candidates.flatten(0, 1), 2).unflatten(0, candidates.shape[:2])
    apart = (small - F.avg_pool2d(pictures, 2)[:, None]).square().mean((2, 3, 4))
    return candidates[torch.arange(len(pictures)), apart.argmin(1)]


def flow_error(gradient: Tensor, way: Tensor, scale: Tensor) -> Tensor:
    """The share of each way's power that the scaled gradient leaves unexplained, (m,)."""
    return (scale * gradient - way).square().mean((1, 2, 3)) / (way.square().mean((1, 2, 3)) + 0.002)
