"""Decorrelated colours: light and dark apart from hues, as they vary in photographs (Olah et al., 2017)."""

import torch
from torch import Tensor

# How the colours of photographs vary together (the square root of their covariance on ImageNet, from Lucid), scaled so
# that the longest column has length 1.
_COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_COLOURS = _COLOURS / _COLOURS.norm(dim=0).max()
CONTRAST = 4.0  # from the units of waves to the logit of a colour
_EDGE = 1 / 255  # colours this near to black and white are as far as a logit goes


def axes(strength: float) -> Tensor:
    """The directions of light and dark, and of two hues that are this strong beside it, as columns: (3, 3)"""
    return _COLOURS * torch.tensor([1.0, strength, strength])


def to_rgb(decorrelated: Tensor, colours: Tensor, contrast: float) -> Tensor:
    """(n, 3, H, W) along the axes -> RGB in [0, 1]"""
    return (contrast * torch.einsum("ij,njhw->nihw", colours, decorrelated)).sigmoid()


def from_rgb(image: Tensor, colours: Tensor, contrast: float) -> Tensor:
    """What `to_rgb` shows as this picture."""
    logits = image.clamp(_EDGE, 1 - _EDGE).logit() / contrast
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(colours), logits)
