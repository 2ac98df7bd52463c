"""Pictures painted for captions while a perceptor trains, which it learns to tell from true ones.

What a perceptor takes for a castle without having seen that it is none, it learns only from its own paintings (as an
energy-based model does: Du and Mordatch, 2019; from a robust one: Yin et al., 2022). A decoder would be too slow to do
it with, so these are painted on a coarse grid of pixels, which is about what a canvas of f 8 looks like at 64 px.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from augment import augment
from data import SEEN
from perceptor import normal
from scenes import Scene
from store import Store
from things import Thing
from torch import Tensor

GRID, STEPS, VISITS = 40, 6, 13  # pixels a side; steps at each visit; visits until a picture is done
WEIGHTS = {  # how often a shape or main thing is drawn; others 1.3
    "ring": 2.5,
    "diamond": 2.0,
    "cross": 2.0,
    "house": 3.0,
    "castle": 2.5,
    "tree": 2.5,
    "boat": 2.0,
    "lighthouse": 2.0,
    None: 0.8,
}
Visual = Callable[[Tensor], Tensor]
Say = Callable[[Tensor, float], Tensor]  # the unit embeddings of captions of scenes, so large a share of them whole


def weight(scene: Scene | Thing) -> float:
    if isinstance(scene, Thing):
        return 1.0
    hard = scene.place == "city" or scene.extra in ("sun", "clouds")
    return WEIGHTS.get(scene.shape or scene.main, 1.3) * (1.5 if hard else 1.0)


def enlarged(pixels: Tensor) -> Tensor:
    return F.interpolate(pixels, size=(SEEN, SEEN), mode="bilinear", align_corners=False)


class Chains:
    """`count` pictures, each on its way from noise to the text of a scene, by Adam; one that is done begins again.

    They stay on the store's device, in their place, and nothing is asked back of it.
    """

    def __init__(self, store: Store, count: int) -> None:
        self.store, self.device = store, store.device
        weights = torch.tensor([weight(scene) for scene in store.scenes], dtype=torch.float64)
        self.shares = (weights.cumsum(0) / weights.sum()).float().to(self.device)
        self.pixels, self.scene = self._noise(count), self._scenes(count)
        self.mean, self.square = torch.zeros_like(self.pixels), torch.zeros_like(self.pixels)
        self.visits = torch.zeros(count, dtype=torch.long, device=self.device)

    def _noise(self, n: int) -> Tensor:
        coarse = torch.randn(n, 3, 24, 24, device=self.device) * 0.15
        tint = torch.rand(n, 3, 1, 1, device=self.device) * 0.2 + 0.35
        return (tint + F.interpolate(coarse, size=(GRID, GRID), mode="bilinear")).clamp(0, 1)

    def _scenes(self, n: int) -> Tensor:
        found = torch.searchsorted(self.shares, torch.rand(n, device=self.device))
        return found.clamp(max=len(self.shares) - 1)

    def __call__(self, visual: Visual, say: Say, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Lead `count` of them on. (their pictures (n, 3, SEEN, SEEN), the scenes' indices, how far each is, to 1)"""
        which = torch.rand(len(self.pixels), device=self.device).argsort()[:count]
        pixels, mean, square = self.pixels[which], self.mean[which], self.square[which]
        scenes, visits = self.scene[which], self.visits[which]
        text = say(scenes, 1.0).detach()
        size, done = (0.045 * (1 - 0.8 * visits / VISITS)).view(-1, 1, 1, 1), (visits * STEPS).view(-1, 1, 1, 1)
        for step in range(1, STEPS + 1):
            pixels = pixels.detach().requires_grad_()
            views = augment(enlarged(pixels)).contiguous(memory_format=torch.channels_last)
            distance = (F.normalize(visual(normal(views)).float(), dim=1) - text).square().sum(1)
            rough = sum(pixels.diff(dim=dim).square().mean((1, 2, 3)) for dim in (2, 3))
            (gradient,) = torch.autograd.grad((distance + 0.5 * rough).sum(), pixels)
            mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient.square()
            move = mean / (1 - 0.9 ** (done + step)) / ((square / (1 - 0.99 ** (done + step))).sqrt() + 1e-9)
            pixels = (pixels - size * move).detach().clamp(0, 1)
        visits = visits + 1
        ended = visits >= VISITS
        anew = ended.view(-1, 1, 1, 1)
        self.pixels[which] = torch.where(anew, self._noise(len(which)), pixels)
        self.mean[which], self.square[which] = mean.masked_fill(anew, 0), square.masked_fill(anew, 0)
        self.visits[which] = visits.masked_fill(ended, 0)
        self.scene[which] = torch.where(ended, self._scenes(len(which)), scenes)
        return enlarged(pixels), scenes, (visits / 5).clamp(max=1)


def coarse(pictures: Tensor) -> Tensor:
    """True pictures, half of them on the grid of the painted ones, so that its blur tells nothing."""
    small = F.interpolate(pictures, size=(GRID, GRID), mode="bilinear", antialias=True)
    return torch.where(torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < 0.5, enlarged(small), pictures)


def against_paintings(chains: Chains, visual: Visual, say: Say, led: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Views of true pictures and then of as many painted for the same scenes; and the loss of their embeddings."""
    painted, scenes, age = chains(visual, say, led)
    n = len(painted)
    views = augment(torch.cat([coarse(chains.store.pictures(scenes)), painted]))
    soft = F.avg_pool2d(views, 3, 1, 1, count_include_pad=False)
    blurred = (torch.rand(n, 1, 1, 1, device=views.device) < 0.3).repeat(2, 1, 1, 1)

    def loss(image: Tensor) -> Tensor:
        image = F.normalize(image, dim=1)
        follow = (say(scenes, 0.85) - image[:n].detach()).square().sum(1).mean()
        text = say(scenes, 1.0).detach()
        gap = ((image[n:] - image[:n]) * text).sum(1)  # painted ones fit better where it is positive
        return (F.softplus(20 * gap + 2) * age).mean() + 10 * follow

    return torch.where(blurred, soft, views), loss
