"""Frame: the result of one step of a painting."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """The result of one step.

    step: from 1 to steps. losses: by name, each (n,), on the device. image: (n, 3, H, W) RGB in [0, 1], a copy, or None
    if it was not asked for. It is the average of the pictures so far, and at the last step the result, as
    `Painting.picture` renders it. kept: whether this frame belongs to the film. scores: by name, each (n,), the losses
    of perceptors of weight 0.
    """

    step: int
    steps: int
    losses: Mapping[str, Tensor] = field(repr=False)
    image: Tensor | None = field(default=None, repr=False)
    kept: bool = False
    scores: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def loss(self) -> float:
        """The sum of the losses, averaged over the pictures. Waits for the device."""
        return float(torch.stack([loss.mean() for loss in self.losses.values()]).sum())
