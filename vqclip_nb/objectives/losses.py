"""Losses that need no perceptor."""

from torch import Tensor

from vqclip_nb.canvases import Canvas
from vqclip_nb.objectives.terms import Objective
from vqclip_nb.rng import Draws


class Smoothness(Objective):
    """Total variation, by squared differences of neighbouring pixels (Mahendran & Vedaldi, 2015)."""

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"smoothness": (n,)}, 0 for a plain picture."""
        across = image.diff(dim=-1).square().mean((1, 2, 3))
        down = image.diff(dim=-2).square().mean((1, 2, 3))
        return {"smoothness": across + down}


class Likeness(Objective):
    """How far a canvas has moved from its start: mse(z, start) / 2, as published for VQGAN (Crowson, 2021)."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"likeness": (n,)}, 0 at the start."""
        return {"likeness": self.canvas.drift() / 2}
