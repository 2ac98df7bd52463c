"""Symmetry: renderings that are their own mirror image, or the same after a turn, and tiles without a seam."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb.rng import Draws


def symmetric(image: Tensor, kind: str) -> Tensor:
    """(n, 3, H, W) to the same, with the symmetry of this name in `Settings.symmetry`.

    The half that is shown mirrored gets no gradient; of turns the mean is taken, so that no sector has an edge.
    """
    if kind in ("mirror", "mirror-both"):
        image = _mirrored(image, -1)
    if kind in ("mirror-down", "mirror-both"):
        image = _mirrored(image, -2)
    if kind.startswith("rotate-"):
        count = int(kind.removeprefix("rotate-"))
        image = torch.stack([_turned(image, index / count) for index in range(count)]).mean(0)
    return image


def rolled(image: Tensor, draws: Draws) -> Tensor:
    """A tile, (n, 3, H, W), moved by up to a quarter of its sides, each picture by its own draw.

    What leaves at one edge comes in at the opposite one. So a perceptor sees the seams of a tile, and the middle stays
    near the middle.
    """
    height, width = image.shape[-2:]
    shares = draws.uniform("roll", (2,)).tolist()  # (n, 2)
    pictures = [
        picture.roll((int((down - 0.5) * height / 2), int((across - 0.5) * width / 2)), (-2, -1))
        for picture, (down, across) in zip(image, shares, strict=True)
    ]
    return torch.stack(pictures)


def wrapped(grid: Tensor, margin: int) -> Tensor:
    """(n, c, h, w) with the opposite edge's cells around it: (n, c, h + 2 margin, w + 2 margin)."""
    for dim in (-1, -2):
        side, count = grid.shape[dim], margin
        index = torch.arange(-count, side + count, device=grid.device) % side
        grid = grid.index_select(dim, index)
    return grid


def cropped(image: Tensor, margin: int) -> Tensor:
    """The picture without so many pixels at each edge."""
    return image[..., margin : image.shape[-2] - margin, margin : image.shape[-1] - margin]


def _mirrored(image: Tensor, dim: int) -> Tensor:
    side = image.shape[dim]
    first = image.narrow(dim, 0, (side + 1) // 2)
    return torch.cat([first, first.narrow(dim, 0, side // 2).flip(dim)], dim)


def _turned(image: Tensor, part: float) -> Tensor:
    """Turned anticlockwise about the middle by a part of a whole turn; corners that come in are mirrored."""
    quarters = 4 * part
    square = image.shape[-1] == image.shape[-2]
    if quarters == int(quarters) and (square or int(quarters) % 2 == 0):
        return image.rot90(int(quarters), (-2, -1))
    height, width = image.shape[-2:]
    angle = 2 * math.pi * part
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]).to(image)
    grid = F.affine_grid(matrix.expand(len(image), -1, -1), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)
