"""Products: a float32 matrix product by a GPU's units for bfloat16, three times as fast though it makes six of them."""

from __future__ import annotations

import torch
from torch import Tensor


def usable(x: Tensor) -> bool:
    """Whether x lies on a GPU that multiplies bfloat16 and can give out float32 sums (torch 2.8)."""
    new = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 8)
    return x.device.type == "cuda" and new and torch.cuda.get_device_capability(x.device) >= (8, 0)


def similar(places: Tensor, codebook: Tensor) -> Tensor:
    """place·code - |code|² / 2, as exact as in float32: (m, c) and (codes, c) -> (m, codes).

    `codebook` is frozen: what is made of it is kept with it.
    """
    made: Tensor | None = codebook.__dict__.get("_thirds")
    if made is None or made.device != codebook.device:
        one, two, three = _thirds(codebook)
        halved = torch.stack(_thirds(codebook.square().sum(1) / -2), 1)  # (codes, 3)
        made = torch.cat([one, two, one, two, three, one, halved, torch.zeros_like(halved[:, :1]).expand(-1, 5)], 1)
        codebook.__dict__["_thirds"] = made
    return torch.mm(_against(places), made.T, out_dtype=torch.float32)


def _against(places: Tensor) -> Tensor:
    """Places laid out for the products of their parts with a codebook's, (m, 6 c + 8): what is left out is 2^-24."""
    one, two, three = _thirds(places)
    mark = torch.ones(1, device=places.device, dtype=torch.bfloat16).expand(len(places), 8)
    return torch.cat([one, one, two, two, one, three, mark], 1)


def _thirds(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three bfloat16 numbers that a float32 number is the sum of."""
    one = x.bfloat16()
    two = (x - one).bfloat16()
    return one, two, (x - one - two).bfloat16()
