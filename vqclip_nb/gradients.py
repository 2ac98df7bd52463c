"""Gradients that differ from those of the forward pass: straight through a quantizer, and back into a clamped range."""

from typing import Any

import torch
from torch import Tensor


def straight_through(value: Tensor, proxy: Tensor) -> Tensor:
    """`value` going forward, the gradient of `proxy` going back."""
    return proxy + (value - proxy).detach()


def nearest_codes(z: Tensor, codebook: Tensor) -> Tensor:
    """The index of the nearest code, by squared distance: (n, c, h, w) and (codes, c) -> (n, h, w), int64.

    The nearest code has the largest z·code - |code|² / 2: one matrix product, computed for 1024 cells at a time.
    """
    cells = torch.nn.functional.pad(z.detach().movedim(1, -1), (0, 1), value=1.0)  # (n, h, w, c + 1)
    codes = torch.cat([codebook, codebook.square().sum(1, keepdim=True) / -2], 1).T  # (c + 1, codes)
    nearest = [(part @ codes).argmax(-1) for part in cells.flatten(0, 2).split(1024)]
    return torch.cat(nearest).view(cells.shape[:-1])


def quantize(z: Tensor, codebook: Tensor) -> Tensor:
    """Replace each cell of z by its nearest code; the gradient reaches z unchanged (van den Oord et al., 2017).

    (n, c, h, w) and (codes, c) -> (n, c, h, w). The codes are looked up: no one-hot matrix is built.
    """
    codes = torch.nn.functional.embedding(nearest_codes(z, codebook), codebook)  # (n, h, w, c)
    return straight_through(codes.movedim(-1, 1), z)


class _ClampWithGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(value)
        ctx.range = (low, high)
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (value,), (grad,) = ctx.saved_tensors, grads
        inside_or_returning = grad * (value - value.clamp(*ctx.range)) >= 0
        return grad * inside_or_returning, None, None


def clamp_with_grad(value: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Clamp to [low, high]; outside, a gradient passes only where following it leads back in (Crowson, 2021)."""
    result: Tensor = _ClampWithGrad.apply(value, low, high)
    return result
