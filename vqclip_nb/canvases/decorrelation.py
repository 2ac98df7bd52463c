"""Decorrelated colours: axes of brightness and hue that vary independently in photographs (Olah et al., 2017)."""

import torch
from torch import Tensor

# The square root of the covariance of colours on ImageNet (from Lucid), scaled so that the longest column has length 1.
_COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_COLOURS = _COLOURS / _COLOURS.norm(dim=0).max()
CONTRAST = 4.0  # from coefficients to the logits of colours
_EDGE = 1 / 255  # colours are clamped to this distance from black and white, where logits are finite


def axes(strength: float) -> Tensor:
    """The axes of brightness and of two hues, whose strength relative to it is given, as columns: (3, 3)"""
    return _COLOURS * torch.tensor([1.0, strength, strength])


def to_rgb(components: Tensor, colours: Tensor, contrast: float) -> Tensor:
    """(n, 3, H, W) along the axes -> RGB in [0, 1]"""
    return (contrast * torch.einsum("ij,njhw->nihw", colours, components)).sigmoid()


def from_rgb(image: Tensor, colours: Tensor, contrast: float) -> Tensor:
    """The inverse of `to_rgb`."""
    logits = image.clamp(_EDGE, 1 - _EDGE).logit() / contrast
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(colours), logits)
