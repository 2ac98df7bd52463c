"""Augmentations for training: what a cutout does to a picture, and a little of what a painting does."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def augment(pictures: torch.Tensor) -> torch.Tensor:
    """Moved, turned, shrunk onto black, erased, blurred and noisy copies: (n, 3, H, W) in [0, 1], same shape.

    Draws from torch's global generator: training is seeded as a whole.
    """
    n, _, height, width = pictures.shape
    device = pictures.device
    uniform = lambda low, high, *shape: low + (high - low) * torch.rand(n, *shape, device=device)  # noqa: E731
    on = lambda p: (torch.rand(n, device=device) < p).float()  # noqa: E731

    angle = uniform(-0.26, 0.26) * on(0.6)
    scale = 1 + uniform(-0.08, 0.45) * on(0.6)  # above 1 the picture shrinks and black shows
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    tx, ty = uniform(-0.2, 0.2) * on(0.6), uniform(-0.2, 0.2) * on(0.6)
    lean = uniform(-0.25, 0.25, 2) * on(0.5)[:, None]
    y, x = torch.meshgrid(
        (torch.arange(height, device=device) * 2 + 1) / height - 1,
        (torch.arange(width, device=device) * 2 + 1) / width - 1,
        indexing="ij",
    )
    at = lambda v: v.view(n, 1, 1)  # noqa: E731
    depth = 1 + at(lean[:, 0]) * x + at(lean[:, 1]) * y
    gx = (at(cos) * x - at(sin) * y + at(tx)) / depth
    gy = (at(sin) * x + at(cos) * y + at(ty)) / depth
    grid = torch.stack([gx, gy], -1)  # (n, H, W, 2)
    border, zeros = (F.grid_sample(pictures, grid, "bilinear", pad, align_corners=False) for pad in ("border", "zeros"))
    out = torch.where(on(0.5).view(n, 1, 1, 1) > 0, border, zeros)

    area, aspect = uniform(0.1, 0.35), torch.exp(uniform(-1.1, 1.1))
    half_w, half_h = (area * aspect).sqrt().clamp(max=0.9), (area / aspect).sqrt().clamp(max=0.9)
    cx, cy = uniform(-1, 1), uniform(-1, 1)
    hole = ((x - at(cx)).abs() < at(half_w)) & ((y - at(cy)).abs() < at(half_h)) & (at(on(0.3)) > 0)
    out = out * (~hole[:, None]).float()

    soft = F.avg_pool2d(out, 3, 1, 1, count_include_pad=False)
    out = out + uniform(-0.5, 1, 1, 1, 1) * on(0.4).view(n, 1, 1, 1) * (soft - out)
    gain, lift = 1 + uniform(-0.12, 0.12, 1, 1, 1), uniform(-0.06, 0.06, 1, 1, 1)
    out = out * gain + lift
    return (out + uniform(0, 0.1, 1, 1, 1) * torch.randn_like(out)).clamp(0, 1)
