"""Averages of a canvas's parameters and of its pictures over the last steps."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Averages:
    """Exponential moving averages that started after step `since`, with bias correction.

    parameters: the sums so far, of each parameter. image: the average picture, (n, 3, H, W), or None before the first.
    """

    def __init__(self, parameters: Sequence[Tensor], since: int) -> None:
        self.parameters = [torch.zeros_like(parameter) for parameter in parameters]
        self.image: Tensor | None = None
        self.since = since

    @torch.no_grad()
    def take(self, parameters: Sequence[Tensor], image: Tensor, finite: Tensor, decay: float, step: int) -> None:
        """Add a step: the parameters, and each picture whose loss is finite, by the mask `finite`, (n,) bool."""
        if not decay:
            return
        for average, parameter in zip(self.parameters, parameters, strict=True):
            average.lerp_(parameter, 1 - decay)
        if self.image is None:
            self.image = image.clone()
        weight = (1 - decay) / (1 - decay ** (step - self.since))
        self.image.lerp_(torch.where(finite[:, None, None, None], image, self.image), weight)

    def values(self, decay: float, step: int) -> list[Tensor]:
        """The average of each parameter; an empty list before the first step."""
        count = step - self.since
        return [average / (1 - decay**count) for average in self.parameters] if decay and count else []

    def choose(self, index: int) -> None:
        """Keep one of the pictures only."""
        self.parameters = [average[index : index + 1].clone() for average in self.parameters]
        self.image = None if self.image is None else self.image[index : index + 1].clone()

    def state(self) -> dict[str, Tensor]:
        """The tensors by name; `since` is not among them."""
        tensors = {f"average.{index}": value for index, value in enumerate(self.parameters)}
        return tensors if self.image is None else {**tensors, "shown": self.image}

    def restore(self, state: Mapping[str, Tensor], *, since: int) -> None:
        """Restore what `state` returned, for as many pictures as it holds."""
        device = self.parameters[0].device
        count = len(self.parameters)
        self.parameters = [state[f"average.{index}"].to(device, copy=True) for index in range(count)]
        self.image = state["shown"].to(device, copy=True) if "shown" in state else None
        self.since = since
