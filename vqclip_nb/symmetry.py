"""Symmetry: mirrored and rotated renderings, and tiles without seams."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb.rng import Draws


def make_symmetric(image: Tensor, kind: str) -> Tensor:
    """Make a rendering, (n, 3, H, W), symmetric; `kind` is a value of `Settings.symmetry`.

    Mirroring replaces one half, which gets no gradient. Rotations are averaged, so that sectors have no edges.
    """
    if kind in ("mirror", "mirror-both"):
        image = _mirror(image, -1)
    if kind in ("mirror-down", "mirror-both"):
        image = _mirror(image, -2)
    if kind.startswith("rotate-"):
        count = int(kind.removeprefix("rotate-"))
        image = torch.stack([_rotate(image, index / count) for index in range(count)]).mean(0)
    return image


def roll(image: Tensor, draws: Draws) -> Tensor:
    """Roll each tile of (n, 3, H, W) by a random shift of up to a quarter of its sides, wrapping around.

    So the perceptor sees the seams of a tile, and the middle stays near the middle.
    """
    height, width = image.shape[-2:]
    shares = draws.uniform("roll", (2,)).tolist()  # (n, 2)
    pictures = [
        picture.roll((int((down - 0.5) * height / 2), int((across - 0.5) * width / 2)), (-2, -1))
        for picture, (down, across) in zip(image, shares, strict=True)
    ]
    return torch.stack(pictures)


def wrap(grid: Tensor, margin: int) -> Tensor:
    """Pad (n, c, h, w) circularly, with the cells of the opposite edges: (n, c, h + 2 margin, w + 2 margin)."""
    for dim in (-1, -2):
        side, count = grid.shape[dim], margin
        index = torch.arange(-count, side + count, device=grid.device) % side
        grid = grid.index_select(dim, index)
    return grid


def crop(image: Tensor, margin: int) -> Tensor:
    """Crop `margin` pixels at each edge."""
    return image[..., margin : image.shape[-2] - margin, margin : image.shape[-1] - margin]


def _mirror(image: Tensor, dim: int) -> Tensor:
    side = image.shape[dim]
    first = image.narrow(dim, 0, (side + 1) // 2)
    return torch.cat([first, first.narrow(dim, 0, side // 2).flip(dim)], dim)


def _rotate(image: Tensor, part: float) -> Tensor:
    """Rotate anticlockwise about the middle by `part` of a whole turn; uncovered corners are mirrored."""
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
