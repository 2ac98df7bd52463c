"""The pixels canvas: every pixel is its own parameter."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from vqclip_nb import colours
from vqclip_nb.canvases.base import Canvas
from vqclip_nb.canvases.pixels import SPEC, PixelsOptions
from vqclip_nb.gradients import clamp_with_grad
from vqclip_nb.rng import generator


class PixelsCanvas(Canvas):
    """RGB values in [0, 1]. The picture starts as faint noise on grey.

    With a palette each pixel shows the nearest of a few colours (as in pytti's limited palette, with one palette for
    the whole picture). The gradient reaches the pixel, so that it can change its colour, and the colour in the palette,
    unless that is fixed.
    """

    lr = SPEC.lr
    fixed: Tensor

    def __init__(self, *, size: tuple[int, int], seeds: Sequence[int], options: PixelsOptions | None = None) -> None:
        super().__init__()
        self.options: PixelsOptions = options or PixelsOptions()
        width, height = size
        noise = [torch.randn(3, height, width, generator=generator(seed, 0, "pixels")) for seed in seeds]
        self.pixels = nn.Parameter((0.5 + 0.1 * torch.stack(noise)).clamp(0, 1))  # (n, 3, H, W)
        if count := self.options.palette:
            start = [torch.rand(count, 3, generator=generator(seed, 0, "palette")) for seed in seeds]
            self.palette = nn.Parameter(0.25 + 0.5 * torch.stack(start))  # (n, colours, 3)
        if self.options.fixed_palette:
            palette = colours.parse(self.options.fixed_palette, name="fixed_palette")
            self.register_buffer("fixed", torch.tensor(palette))  # (colours, 3)

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: PixelsOptions) -> Self:
        return cls(size=size, seeds=seeds, options=options)

    def forward(self) -> Tensor:
        if self.options.fixed_palette:
            image = colours_of(self.pixels, self.fixed.expand(len(self.pixels), -1, -1))
        elif self.options.palette:
            image = clamp_with_grad(colours_of(self.pixels, self.palette))
        else:
            return clamp_with_grad(self.pixels)
        return image + (self.pixels - self.pixels.detach())

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        self.pixels.copy_(nn.functional.interpolate(image, self.pixels.shape[-2:], mode="bilinear", antialias=True))
        if self.options.palette:
            self.palette.copy_(torch.stack([common_colours(each, self.options.palette) for each in self.pixels]))

    @torch.no_grad()
    def constrain(self) -> None:
        for parameter in self.learnable():
            parameter.clamp_(0, 1)


def colours_of(pixels: Tensor, palette: Tensor) -> Tensor:
    """Nearest colours, with the gradient of the palette: (n, 3, H, W) and (n, colours, 3) -> (n, 3, H, W)"""
    nearest = _nearest(pixels.flatten(2).mT, palette)  # (n, H * W)
    colours = palette.gather(1, nearest[..., None].expand(-1, -1, 3))
    return colours.mT.unflatten(2, pixels.shape[-2:])


def common_colours(image: Tensor, count: int) -> Tensor:
    """The palette of a picture by k-means, which starts from frequent, distant colours: (3, H, W) -> (count, 3)"""
    points = image.flatten(1).T  # (H * W, 3)
    shades, times = (points * 32).round().unique(dim=0, return_counts=True)
    palette = shades[times.argmax()][None]
    for _ in range(count - 1):
        distance = torch.cdist(shades, palette).amin(1).square()
        palette = torch.cat([palette, shades[(times * distance).argmax()][None]])
    palette = palette / 32
    for _ in range(10):
        nearest = _nearest(points[None], palette[None])[0]
        members = torch.nn.functional.one_hot(nearest, count).to(points)
        sizes = members.sum(0)[:, None]
        palette = torch.where(sizes > 0, members.T @ points / sizes.clamp(min=1), palette)
    return palette


def _nearest(points: Tensor, palette: Tensor) -> Tensor:
    """The index of the nearest colour: (n, m, 3) and (n, colours, 3) -> (n, m)"""
    return (points.detach() @ palette.detach().mT - palette.detach().square().sum(-1)[:, None] / 2).argmax(-1)


CANVAS = PixelsCanvas
