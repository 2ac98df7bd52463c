"""The pixels canvas: every pixel is its own parameter."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from vqclip_nb.canvases.base import Canvas
from vqclip_nb.canvases.pixels import SPEC
from vqclip_nb.canvases.spec import CanvasOptions
from vqclip_nb.gradients import clamp_with_grad
from vqclip_nb.rng import generator


class PixelsCanvas(Canvas):
    """RGB itself, held in [0, 1]. Begins with faint noise on grey."""

    lr = SPEC.lr

    def __init__(self, *, size: tuple[int, int], seeds: Sequence[int]) -> None:
        super().__init__()
        width, height = size
        noise = [torch.randn(3, height, width, generator=generator(seed, 0, "pixels")) for seed in seeds]
        self.pixels = nn.Parameter((0.5 + 0.1 * torch.stack(noise)).clamp(0, 1))  # (n, 3, H, W)

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: CanvasOptions) -> Self:
        return cls(size=size, seeds=seeds)

    def forward(self) -> Tensor:
        return clamp_with_grad(self.pixels)

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        self.pixels.copy_(nn.functional.interpolate(image, self.pixels.shape[-2:], mode="bilinear", antialias=True))

    @torch.no_grad()
    def constrain(self) -> None:
        self.pixels.clamp_(0, 1)


CANVAS = PixelsCanvas
