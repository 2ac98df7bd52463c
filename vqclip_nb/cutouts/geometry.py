"""Geometry: affine and perspective maps of views, and resampling kernels for crops."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def affine(angle: Tensor, shift: Tensor, flip: Tensor, size: int) -> Tensor:
    """Flip (-1), rotate by radians about the middle, and shift down by pixels: (m,) each -> (m, 3, 3).

    kornia read the published `translate=0.1` as a range: no shift to the side, and U(-.1, .1) up or down.
    """
    cos, sin, one, none = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    middle = (size - 1) / 2
    rows = [
        [cos * flip, sin, middle - middle * (cos * flip + sin)],
        [-sin * flip, cos, middle - middle * (cos - sin * flip) + shift],
        [none, none, one],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def perspective(inwards: Tensor, size: int) -> Tensor:
    """The perspective that moves each corner inwards by a share of the side: (m, 4 corners, x and y) -> (m, 3, 3).

    It maps a square to a quadrilateral, by Heckbert's formulas (1989).
    """
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64) * (size - 1)
    towards = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)
    one, two, three, four = (corners + towards * inwards.double() * size).unbind(1)  # (m, 2) each
    across, down, rest = two - three, four - three, one - two + three - four
    area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    g = (rest[:, 0] * down[:, 1] - rest[:, 1] * down[:, 0]) / area
    h = (across[:, 0] * rest[:, 1] - across[:, 1] * rest[:, 0]) / area
    columns = [(two - one + g[:, None] * two) / (size - 1), (four - one + h[:, None] * four) / (size - 1), one]
    last = torch.stack([g / (size - 1), h / (size - 1), torch.ones_like(g)], -1)[:, None]
    return torch.cat([torch.stack(columns, -1), last], 1).float()


def inverse(maps: Tensor) -> Tensor:
    """The inverse of matrices, (m, 3, 3), by cofactors: LAPACK takes milliseconds for a few of them."""
    first, second, third = maps.double().unbind(-2)
    cofactors = [torch.linalg.cross(*pair) for pair in ((second, third), (third, first), (first, second))]
    determinant = (first * cofactors[0]).sum(-1)[:, None, None]
    return (torch.stack(cofactors, -1) / determinant).float()


def warp(views: Tensor, affine: Tensor, perspective: Tensor) -> Tensor:
    """Apply both maps in one bilinear resampling. The affine map repeats the border; the perspective uncovers black."""
    size = views.shape[-1]
    axis = torch.arange(size, dtype=torch.float32)
    pixels = torch.stack([*torch.meshgrid(axis, axis, indexing="xy"), torch.ones(size, size)], -1)  # (cut, cut, 3)
    back = inverse(perspective).to(views)
    between = torch.einsum("mij,yxj->myxi", back, pixels.to(views))
    between = between[..., :2] / between[..., 2:]  # the position of each pixel before the perspective
    inside = (between + 1).clamp(0, 1) * (size - between).clamp(0, 1)  # fades over the last pixel, as bilinear zeros do
    turn = inverse(affine).to(views)
    source = torch.einsum("mij,myxj->myxi", turn[:, :2, :2], between.clamp(-size, 2 * size))
    grid = (2 * (source + turn[:, None, None, :2, 2]) + 1) / size - 1
    result = F.grid_sample(views, grid, padding_mode="border", align_corners=False)
    return result * inside.prod(-1)[:, None]


def lanczos(start: Tensor, side: Tensor, length: int, size: int) -> Tensor:
    """Weights that resize [start, start + side) of a line of `length` pixels to `size`: (m,) each -> (m, size, length).

    Lanczos with a = 2, normalised at the border; pixels outside the part are used too.
    """
    scale = (side / size)[:, None, None]
    middles = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale  # (m, size, 1)
    distance = (torch.arange(length, device=start.device) + 0.5 - middles) / scale.clamp(min=1)  # (m, size, length)
    weights = torch.where(distance.abs() < 2, torch.sinc(distance) * torch.sinc(distance / 2), 0.0)  # Lanczos, a = 2
    return weights / weights.sum(-1, keepdim=True)


def bilinear(start: Tensor, side: Tensor, length: int, size: int) -> Tensor:
    """Like `lanczos`, but from the two nearest pixels of the part, as torch's bilinear with align_corners=False."""
    position = _centres(side, size).clamp(min=0)
    first = torch.minimum(position.floor(), side[:, None] - 1)
    second = torch.minimum(first + 1, side[:, None] - 1)
    share = (position - first)[..., None]
    return _one_hot(start, first, length) * (1 - share) + _one_hot(start, second, length) * share


def nearest(start: Tensor, side: Tensor, length: int, size: int) -> Tensor:
    """Like `lanczos`, but from one pixel, as torch's nearest."""
    scale = (side / size)[:, None]
    return _one_hot(start, (torch.arange(size, device=side.device) * scale).floor(), length)


def area(start: Tensor, side: Tensor, length: int, size: int) -> Tensor:
    """Like `lanczos`, but the mean of all pixels of a cell, as torch's adaptive average pooling."""
    index = torch.arange(size, device=side.device)
    first = (index * side[:, None] / size).floor() + start[:, None]
    last = ((index + 1) * side[:, None] / size).ceil() + start[:, None]
    position = torch.arange(length, device=side.device)
    inside = (position >= first[..., None]) & (position < last[..., None])
    return inside / (last - first)[..., None]


Kernel = Callable[[Tensor, Tensor, int, int], Tensor]
KERNELS: dict[str, Kernel] = {"lanczos": lanczos, "bilinear": bilinear, "nearest": nearest, "area": area}


def _centres(side: Tensor, size: int) -> Tensor:
    """The centre of each new pixel in the part, (m, size)."""
    return (torch.arange(size, device=side.device) + 0.5) * (side / size)[:, None] - 0.5


def _one_hot(start: Tensor, position: Tensor, length: int) -> Tensor:
    """One-hot rows at start + position, in pixels: (m,) and (m, size) -> (m, size, length)"""
    return ((start[:, None] + position)[..., None] == torch.arange(length, device=position.device)).float()
