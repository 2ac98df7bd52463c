"""Terms: an objective with its weight and its region of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vqclip_nb.device import FLOAT32, Precision
from vqclip_nb.gradients import straight_through
from vqclip_nb.rng import Draws
from vqclip_nb.schedules import Number, tensor_at


class Objective(Protocol):
    """Computes losses of pictures.

    `image` is (n, 3, H, W) RGB in [0, 1]; `draws.step` is the number of steps made; `progress`, in [0, 1), is its share
    of all steps. Returns losses by name, each (n,); names are for people, such as the prompt's text. The loss of a
    picture does not depend on the others.
    """

    parts: int = 1  # micro-batches that its views are split into, to save memory
    precision: Precision = FLOAT32  # of its network, if it has one

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]: ...


@dataclass
class Term:
    """A weighted objective: one summand of the total loss.

    weight: multiplies the losses; a schedule is read at each step. watches: whether it is only computed for the log,
    and not part of the total. region: None for the whole picture, or a mask (1 or n, 1, H, W) in [0, 1] on the
    picture's device and of its size. The objective still sees the whole picture, but each pixel's gradient is
    multiplied by the mask: where it is 0, the term changes nothing directly.
    """

    objective: Objective
    weight: Number = 1.0
    region: Tensor | None = None
    watches: bool = False

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """The objective's losses, weighted, by name, each (n,)."""
        if self.region is not None:
            image = straight_through(image, image * self.region)
        losses = self.objective(image, draws, progress)
        if self.weight == 1.0:
            return losses
        weight = tensor_at(self.weight, draws.step, progress, image.device)
        return {name: weight * loss for name, loss in losses.items()}


def losses_of(terms: Sequence[Term], image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
    """All losses of pictures, by name, each (n,). Losses of one name are added, such as those of two networks."""
    losses: dict[str, Tensor] = {}
    for term in terms:
        for name, loss in term(image, draws, progress).items():
            losses[name] = losses[name] + loss if name in losses else loss
    return losses


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum of the losses for each picture, (n,)."""
    return torch.stack(list(losses.values())).sum(0)
