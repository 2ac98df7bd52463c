"""Camera: moves a film's picture between two frames, by one bicubic resampling."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb.moves import Move
from vqclip_nb.overlay import fill_unknown

_PADDING = {"reflect": "reflection", "stretch": "border", "wrap": "zeros", "fill": "zeros"}


def warp(image: Tensor, move: Move) -> Tensor:
    """Warp a picture by a camera move: (n, 3, H, W) RGB in [0, 1] to the same, by one bicubic resampling."""
    if move.still:
        return image
    height, width = image.shape[-2:]
    sources = _places(move, height, width).to(image.device)
    if move.border == "wrap":
        sides = torch.tensor([width, height], dtype=torch.float64, device=image.device)
        sources = sources.remainder(sides)
        image = F.pad(image, (2, 2, 2, 2), mode="circular")  # bicubic sampling reads two pixels beyond each position
        sources, width, height = sources + 2, width + 4, height + 4
    grid = 2 * sources / torch.tensor([width, height], dtype=torch.float64, device=image.device) - 1
    grid = grid.float()[None].expand(len(image), -1, -1, -1)
    padding = _PADDING[move.border]
    result = F.grid_sample(image, grid, "bicubic", padding, align_corners=False).clamp(0, 1)
    if move.border != "fill":
        return result
    inside = (grid.abs() <= 1).all(-1)[:, None].to(image)
    return fill_unknown(result, inside)


def _places(move: Move, height: int, width: int) -> Tensor:
    """The source of each pixel in the old picture, in pixels from its left and upper edge, (H, W, 2)."""
    across = torch.arange(width, dtype=torch.float64) + 0.5 - width / 2
    down = torch.arange(height, dtype=torch.float64) + 0.5 - height / 2
    new = torch.stack([*torch.meshgrid(across, down, indexing="xy"), torch.ones(height, width).double()], -1)
    old = new @ torch.tensor(move.source(width, height), dtype=torch.float64).T
    depth = old[..., 2:].clamp(min=1e-3)  # points behind the camera are sampled from far outside
    return old[..., :2] / depth + torch.tensor([width / 2, height / 2], dtype=torch.float64)
