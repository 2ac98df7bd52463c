"""Objectives: what a picture is pulled towards, each a handful of named losses, one number per picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from vqclip_nb.canvases import Canvas
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.device import FLOAT32, Precision
from vqclip_nb.gpu.cuda_graphs import replayed
from vqclip_nb.gradients import straight_through
from vqclip_nb.perceptors import Perceptor
from vqclip_nb.rng import Draws


class Objective(Protocol):
    """`image` is (n, 3, H, W) RGB in [0, 1]; each loss is (n,), and no picture's loss depends on another picture."""

    parts: int = 1  # micro-batches that it judges in, to save memory, where it has many views to judge
    precision: Precision = FLOAT32  # that its network computes in, where it has one

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Target:
    """Where a prompt pulls to: embeddings of unit length, (1 or n, m, d); the pull is the mean over the m."""

    name: str
    embeddings: Tensor
    weight: float = 1.0
    stop: float = -torch.inf


def great_circle(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared great-circle distance of unit vectors, 2 arcsin(|x - y| / 2)², in [0, 4.93] (Crowson, 2021)."""
    return (x - y).norm(dim=-1).div(2).arcsin().square().mul(2)


def pull(distance: Tensor, weight: Tensor, stop: Tensor) -> Tensor:
    """The signed, weighted distance; its gradient ends where the signed distance is below `stop` (Crowson, 2021).

    The signed distance is `distance`, or `-distance` for a negative weight. All three broadcast together.
    """
    signed = distance * weight.sign()
    return weight.abs() * straight_through(signed, torch.maximum(signed, stop))


class Guide(Objective):
    """One perceptor, its cutouts and its targets: how far what the perceptor sees is from what was asked for."""

    def __init__(self, perceptor: Perceptor, cutouts: Cutouts, targets: Sequence[Target]) -> None:
        self.perceptor, self.cutouts = perceptor, cutouts
        self.names = [target.name for target in targets]
        self.counts = [target.embeddings.shape[1] for target in targets]
        pictures = max(target.embeddings.shape[0] for target in targets)
        self.embeddings = torch.cat([t.embeddings.expand(pictures, -1, -1) for t in targets], 1)  # (1 or n, T, d)
        self.weights = self._per_embedding([t.weight / t.embeddings.shape[1] for t in targets])  # (T,)
        self.stops = self._per_embedding([t.stop for t in targets])  # (T,)

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """One loss per target, each (n,)."""
        views = self.cutouts(image, draws.of(self.perceptor.name), progress)
        with self.precision.within(views.device):
            seen = self._seen(views)
        seen = seen.unflatten(0, (len(image), -1))  # (n, cutn, d)
        distance = great_circle(seen[:, :, None], self.embeddings[:, None])  # (n, cutn, T)
        losses = pull(distance, self.weights, self.stops).mean(1)  # (n, T)
        named: dict[str, Tensor] = {}
        for name, part in zip(self.names, losses.split(self.counts, 1), strict=True):
            named[name] = named.get(name, 0) + part.sum(1)  # the same text twice pulls twice
        return named

    def _seen(self, views: Tensor) -> Tensor:
        """Views as the perceptor sees them, (m, d). Of several parts, each is computed again on the way back, alone."""
        if self.parts == 1:
            return replayed(self.perceptor.encode_image, views)
        from torch.utils.checkpoint import checkpoint

        parts = views.chunk(self.parts)
        again = partial(checkpoint, self.perceptor.encode_image, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(part) for part in parts])

    def _per_embedding(self, values: Sequence[float]) -> Tensor:
        """One value per target, repeated for each of its embeddings."""
        return torch.tensor(values).repeat_interleave(torch.tensor(self.counts)).to(self.embeddings)


class Smoothness(Objective):
    """Pulls neighbouring pixels together: total variation, squared differences (Mahendran & Vedaldi, 2015)."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"smoothness": (n,)}"""
        across = image.diff(dim=-1).square().mean((1, 2, 3))
        down = image.diff(dim=-2).square().mean((1, 2, 3))
        return {"smoothness": self.weight * (across + down)}


class Likeness(Objective):
    """Holds a canvas to what it was at its start: mse(z, start) * weight / 2, as published for VQGAN."""

    def __init__(self, canvas: Canvas, weight: float) -> None:
        self.canvas, self.weight = canvas, weight

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"likeness": (n,)}"""
        return {"likeness": self.weight / 2 * self.canvas.drift()}
