"""Lowest loss: each picture's lowest loss so far and its age, for `keep`, `plateau` and `early_stop`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vqclip_nb.schedules import Number, Schedule, Whole, value_at, whole_at
from vqclip_nb.settings import Settings

_TENSORS = ("loss", "since", "waited", "drops", "factor")


class LowestLoss:
    """The lowest loss of each of n pictures, (n,), and the picture that had it. `on` says whether the settings need it.

    since: steps since that loss. waited: steps since the later of that loss and the last drop of the step size. drops:
    how often the step size fell. factor: that of the step size, the product of those at its drops, where
    `plateau_factor` changes along the run.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.loss = torch.full((count,), torch.inf, device=device)
        self.since, self.waited, self.drops = (torch.zeros(count, device=device) for _ in range(3))
        self.factor = torch.ones(count, device=device)
        self.image: Tensor | None = None  # (n, 3, H, W), with keep="best"

    @staticmethod
    def on(settings: Settings) -> bool:
        """Whether any of these settings needs it."""
        return bool(settings.keep == "best" or settings.plateau or settings.early_stop)

    def see(self, total: Tensor, image: Tensor, settings: Settings, step: int = 0) -> None:
        """Record the step of this number: the sum of each picture's losses, (n,), and the pictures."""
        better = total < self.loss  # False for nan
        self.loss = torch.where(better, total, self.loss)
        self.since, self.waited = (torch.where(better, 0.0, steps + 1) for steps in (self.since, self.waited))
        if settings.keep == "best":
            previous = image if self.image is None else self.image
            self.image = torch.where(better[:, None, None, None], image, previous)
        if patience := _steps_at(settings.plateau, settings, step):
            falls = self.waited >= patience
            self.drops, self.waited = self.drops + falls, torch.where(falls, 0.0, self.waited)
            self.factor = torch.where(falls, self.factor * _at(settings.plateau_factor, settings, step), self.factor)

    def lr(self, lr: float | Tensor, settings: Settings) -> float | Tensor:
        """The step size of each picture, (n,), after its drops."""
        if not settings.plateau:
            return lr
        factor = settings.plateau_factor
        return lr * (self.factor if isinstance(factor, Schedule) else factor**self.drops)

    def ended(self, settings: Settings, step: int = 0) -> bool:
        """Whether no picture's loss has fallen for `early_stop` steps. Waits for the device if `early_stop` is set."""
        patience = _steps_at(settings.early_stop, settings, step)
        return bool(patience and (self.since >= patience).all())

    def state(self) -> dict[str, Tensor]:
        """The tensors by name."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        return tensors | ({} if self.image is None else {"image": self.image})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        device = self.loss.device
        for name in (*_TENSORS, "image"):
            if name in state:
                setattr(self, name, state[name].to(device, copy=True))


def _at(number: Number, settings: Settings, step: int) -> float:
    return value_at(number, step, step / settings.steps)


def _steps_at(number: Whole, settings: Settings, step: int) -> int:
    return whole_at(number, step, step / settings.steps)
