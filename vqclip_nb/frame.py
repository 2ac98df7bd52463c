"""Frame: what one step of a painting saw."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """What one step saw.

    step: from 1 to steps. losses: by name, each (n,), on the device. image: (n, 3, H, W) RGB in [0, 1], a copy of its
    own, or None where nobody will look: the average of the pictures judged so far; at the last step the result, as
    `Painting.picture` renders it. kept: whether this frame belongs to the film. scores: by name, each (n,), the losses
    that perceptors of weight 0 watch.
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
