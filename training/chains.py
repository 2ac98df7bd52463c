"""Pictures painted for captions while a perceptor trains, which it learns to tell from true ones.

What a perceptor takes for a castle without having seen that it is none, it learns only from its own paintings (as an
energy-based model does: Du and Mordatch, 2019; from a robust one: Yin et al., 2022). A decoder would be too slow to do
it with, so these are painted on a coarse grid of pixels, which is about what a canvas of f 8 looks like at 64 px.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from augment import augment
from data import SEEN
from groups import Groups
from perceptor import folded, normal
from torch import Tensor

GRID, STEPS, VISITS = 40, 6, 13  # pixels a side; steps at each visit; visits until a picture is done
WEIGHTS = {"ring": 3.0, "house": 2.5, "castle": 2.0, None: 0.7}  # how often a shape or main thing is drawn; others 1.3


def enlarged(pixels: Tensor) -> Tensor:
    return F.interpolate(pixels, size=(SEEN, SEEN), mode="bilinear", align_corners=False)


class Chains:
    """`count` pictures, each on its way from noise to the text of a scene, by Adam; one that is done begins again."""

    def __init__(self, draw: Groups, count: int, device: torch.device) -> None:
        self.draw, self.device = draw, device
        weights = np.array([WEIGHTS.get(scene.shape or scene.main, 1.3) for scene in draw.scenes])
        self.weights = weights / weights.sum()
        self.pixels, self.mean, self.square = (torch.zeros(count, 3, GRID, GRID, device=device) for _ in range(3))
        self.visits, self.scene = torch.zeros(count, dtype=torch.long), np.zeros(count, dtype=int)
        self._begin(torch.arange(count))

    def _begin(self, which: Tensor) -> None:
        n = len(which)
        noise = F.interpolate(torch.randn(n, 3, 24, 24) * 0.15, size=(GRID, GRID), mode="bilinear")
        self.pixels[which] = (torch.rand(n, 3, 1, 1) * 0.2 + 0.35 + noise).clamp(0, 1).to(self.device)
        self.mean[which] = self.square[which] = 0
        self.visits[which] = 0
        self.scene[which.numpy()] = self.draw.rng.choice(len(self.weights), n, p=self.weights)

    def __call__(
        self, visual: Callable[[Tensor], Tensor], say: Callable[[np.ndarray], Tensor], count: int
    ) -> tuple[Tensor, np.ndarray, Tensor]:
        """Lead `count` of them on. (their pictures (n, 3, SEEN, SEEN), the scenes' indices, how far each is, to 1)"""
        which = torch.from_numpy(self.draw.rng.permutation(len(self.pixels))[:count])
        pixels, mean, square = self.pixels[which], self.mean[which], self.square[which]
        text, done = say(self.scene[which.numpy()]).detach(), self.visits[which] * STEPS
        size = 0.045 * (1 - 0.8 * self.visits[which] / VISITS).view(-1, 1, 1, 1).to(self.device)
        for step in range(1, STEPS + 1):
            pixels = pixels.detach().requires_grad_()
            views = augment(enlarged(pixels)).contiguous(memory_format=torch.channels_last)
            distance = (F.normalize(visual(normal(views)), dim=1) - text).square().sum(1)
            rough = sum(pixels.diff(dim=dim).square().mean((1, 2, 3)) for dim in (2, 3))
            (gradient,) = torch.autograd.grad((distance + 0.5 * rough).sum(), pixels)
            mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient.square()
            count_of = (done + step).view(-1, 1, 1, 1).to(self.device)
            move = mean / (1 - 0.9**count_of) / ((square / (1 - 0.99**count_of)).sqrt() + 1e-9)
            pixels = (pixels - size * move).detach().clamp(0, 1)
        self.pixels[which], self.mean[which], self.square[which] = pixels, mean, square
        self.visits[which] += 1
        shown, scenes, age = enlarged(pixels), self.scene[which.numpy()].copy(), self.visits[which]
        if len(ended := which[age >= VISITS]):
            self._begin(ended)
        return shown, scenes, (age / 5).clamp(max=1).to(self.device)


def coarse(pictures: Tensor) -> Tensor:
    """True pictures, half of them on the grid of the painted ones, so that its blur tells nothing."""
    small = F.interpolate(pictures, size=(GRID, GRID), mode="bilinear", antialias=True)
    return torch.where(torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < 0.5, enlarged(small), pictures)


def against_paintings(model, chains: Chains, say) -> tuple[torch.Tensor, Callable[..., torch.Tensor]]:
    """Views of true pictures and then of as many painted for the same scenes; and the loss of their embeddings."""
    painted, scenes, age = chains(folded(model.visual), partial(say, share=1.0), 40)
    n, place = len(painted), painted.device
    true = coarse(chains.draw.pictures(scenes.tolist()).to(place))
    views = augment(torch.cat([true, painted]))
    soft = F.avg_pool2d(views, 3, 1, 1, count_include_pad=False)
    blurred = (torch.rand(n, 1, 1, 1, device=place) < 0.3).repeat(2, 1, 1, 1)

    def loss(image: torch.Tensor) -> torch.Tensor:
        image = F.normalize(image, dim=1)
        follow = (say(scenes, share=0.85) - image[:n].detach()).square().sum(1).mean()
        text = say(scenes, share=1.0).detach()
        gap = ((image[n:] - image[:n]) * text).sum(1)  # painted ones fit better where it is positive
        return (F.softplus(20 * gap + 2) * age).mean() + 10 * follow

    return torch.where(blurred, soft, views), loss
