"""The SIREN canvas: a network from coordinates to colours, whose weights are optimized (Sitzmann et al., 2020)."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vqclip_nb.canvases.base import Canvas
from vqclip_nb.canvases.siren import SPEC, SirenOptions
from vqclip_nb.optimizers import Optimizer
from vqclip_nb.rng import Draws, generator

_TILE = 2**15  # pixels of a picture that are rendered at once without gradients
_FIT_STEPS, _FIT_LR, _FIT_PIXELS = 300, 1e-3, 2048


class SirenCanvas(Canvas):
    """Sine layers, sin(w0 (W x + b)), and a linear one, as in Deep Daze.

    The n networks are evaluated by batched products. Coordinates run from -1 to 1 along the longer side, (y, x); the
    picture is (output + 1) / 2. It computes in float32 in all precisions, since the arguments of sines need the digits.
    """

    lr = SPEC.lr
    cuts_off = True

    def __init__(self, *, size: tuple[int, int], seeds: Sequence[int], options: SirenOptions | None = None) -> None:
        super().__init__()
        self.size, self.seeds = size, tuple(seeds)
        self.options: SirenOptions = options or SirenOptions()
        layers, width, w0 = self.options.layers, self.options.hidden_size, self.options.w0
        self.frequencies = [self.options.w0_first, *[w0] * (layers - 1)]
        shapes = [(width, 2), *[(width, width)] * (layers - 1), (3, width)]
        bounds = [1 / 2, *[math.sqrt(6 / width) / w0] * layers]
        draw = [generator(seed, 0, "siren") for seed in seeds]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for (out, into), bound in zip(shapes, bounds, strict=True):
            uniform = torch.stack([torch.rand(out, into + 1, generator=each) for each in draw])  # in [0, 1)
            self.weights.append(nn.Parameter((2 * uniform[..., :-1] - 1) * bound))  # (n, out, in)
            self.biases.append(nn.Parameter((2 * uniform[..., -1] - 1) * bound))  # (n, out)

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: SirenOptions) -> Self:
        return cls(size=size, seeds=seeds, options=options)

    def forward(self) -> Tensor:
        return self.render(*self.size)

    def render(self, width: int, height: int) -> Tensor:
        """The pictures at any size, from the same weights: (n, 3, height, width) RGB in [0, 1].

        Without gradients, or to save memory, it is rendered tile by tile.
        """
        points = coordinates(width, height).to(self.weights[0].device).expand(len(self.weights[0]), -1, -1)
        if not torch.is_grad_enabled():
            colour = torch.cat([self._colour(tile) for tile in points.split(_TILE, 1)], 1)
        elif self.thrifty:
            tiles = (checkpoint(self._colour, tile, use_reentrant=False) for tile in points.split(_TILE // 8, 1))
            colour = torch.cat([*tiles], 1)
        else:
            colour = self._colour(points)
        return self.bounded((colour.mT.unflatten(2, (height, width)) + 1) / 2)

    def start_from(self, image: Tensor) -> None:
        """Fit the picture by 300 steps of Adam, each on a random part of its pixels."""
        width, height = self.size
        resized = nn.functional.interpolate(image, (height, width), mode="bilinear", antialias=True)
        colours = (2 * resized - 1).flatten(2).mT.expand(len(self.seeds), -1, -1)  # (n, pixels, 3)
        points = coordinates(width, height).to(image.device)
        optimizer = Optimizer("adam", self.learnable())
        valid = torch.ones(len(self.seeds), dtype=torch.bool, device=image.device)
        with torch.enable_grad():
            for step in range(_FIT_STEPS):
                draws = Draws(self.seeds, step).uniform("fit", (min(_FIT_PIXELS, len(points)),))
                index = (draws * len(points)).long().to(image.device)  # (n, pixels)
                target = colours.gather(1, index[..., None].expand(-1, -1, 3))
                error = (self._colour(points[index]) - target).square().mean((1, 2))
                error.sum().backward()
                rate = _FIT_LR * (1 + math.cos(math.pi * step / _FIT_STEPS)) / 2
                optimizer.step(rate, valid)

    def save_memory(self) -> bool:
        """Render in tiles, each of which is recomputed in the backward pass."""
        changes, self.thrifty = not self.thrifty, True
        return changes

    def _colour(self, points: Tensor) -> Tensor:
        """The networks' outputs: coordinates (n, m, 2) -> (n, m, 3), roughly in [-1, 1]"""
        values = points
        for weight, bias, frequency in zip(
            self.weights, self.biases, self.frequencies, strict=False
        ):  # all but the last
            values = (frequency * torch.baddbmm(bias[:, None], values, weight.mT)).sin()
        return torch.baddbmm(self.biases[-1][:, None], values, self.weights[-1].mT)


def coordinates(width: int, height: int) -> Tensor:
    """(y, x) of each pixel, row by row, from -1 to 1 along the longer side: (height * width, 2).

    For square pictures they are those of Deep Daze; otherwise the shorter side spans less, to keep proportions.
    """
    longer = max(width, height)
    down, across = (torch.linspace(-1, 1, side) * (side / longer) for side in (height, width))
    return torch.stack(torch.meshgrid(down, across, indexing="ij"), -1).flatten(0, 1)


CANVAS = SirenCanvas
