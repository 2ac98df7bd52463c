"""Lowest loss: each picture's lowest loss so far and its age, for `keep`, `plateau` and `early_stop`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vqclip_nb.settings import Settings


class LowestLoss:
    """The lowest loss of each of n pictures, (n,), and the picture that had it. `on` says whether the settings need it.

    since: steps since that loss. waited: steps since the later of that loss and the last drop of the step size. drops:
    how often the step size fell.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.loss = torch.full((count,), torch.inf, device=device)
        self.since, self.waited, self.drops = (torch.zeros(count, device=device) for _ in range(3))
        self.image: Tensor | None = None  # (n, 3, H, W), with keep="best"

    @staticmethod
    def on(settings: Settings) -> bool:
        """Whether any of these settings needs it."""
        return bool(settings.keep == "best" or settings.plateau or settings.early_stop)

    def see(self, total: Tensor, image: Tensor, settings: Settings) -> None:
        """Record a step: the sum of each picture's losses, (n,), and the pictures."""
        better = total < self.loss  # False for nan
        self.loss = torch.where(better, total, self.loss)
        self.since, self.waited = (torch.where(better, 0.0, steps + 1) for steps in (self.since, self.waited))
        if settings.keep == "best":
            previous = image if self.image is None else self.image
            self.image = torch.where(better[:, None, None, None], image, previous)
        if settings.plateau:
            falls = self.waited >= settings.plateau
            self.drops, self.waited = self.drops + falls, torch.where(falls, 0.0, self.waited)

    def lr(self, lr: float | Tensor, settings: Settings) -> float | Tensor:
        """The step size of each picture, (n,), after its drops."""
        return lr * settings.plateau_factor**self.drops if settings.plateau else lr

    def ended(self, settings: Settings) -> bool:
        """Whether no picture's loss has fallen for `early_stop` steps. Waits for the device if `early_stop` is set."""
        return bool(settings.early_stop and (self.since >= settings.early_stop).all())

    def state(self) -> dict[str, Tensor]:
        """The tensors by name."""
        tensors = {"loss": self.loss, "since": self.since, "waited": self.waited, "drops": self.drops}
        return tensors | ({} if self.image is None else {"image": self.image})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        device = self.loss.device
        for name in ("loss", "since", "waited", "drops", "image"):
            setattr(self, name, state[name].to(device, copy=True) if name in state else None)
