"""Losses that need no perceptor."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vqclip_nb.canvases import Canvas
from vqclip_nb.canvases.pixels.canvas import colours_of
from vqclip_nb.colours import Colour
from vqclip_nb.errors import SettingsError
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
    """The distance of a canvas from its start: mse(z, start) / 2, as published for VQGAN (Crowson, 2021)."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"likeness": (n,)}, 0 at the start."""
        return {"likeness": self.canvas.drift() / 2}


class Saturation(Objective):
    """The negative colourfulness of a picture (Hasler & Suesstrunk, 2003): a lower loss is more colourful."""

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"saturation": (n,)}, 0 for grey."""
        red, green, blue = image.flatten(2).unbind(1)  # (n, H * W) each
        opponents = torch.stack([red - green, (red + green) / 2 - blue])  # (2, n, H * W)
        deviation = (opponents.var(-1).sum(0) + 1e-8).sqrt() - 1e-4  # keeps the gradient of the root finite at 0
        mean = (opponents.mean(-1).square().sum(0) + 1e-8).sqrt() - 1e-4
        return {"saturation": -(deviation + 0.3 * mean)}


class Symmetry(Objective):
    """The squared difference of a picture and its mirror image."""

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"symmetry": (n,)}, 0 for a picture that is its own mirror image."""
        return {"symmetry": (image - image.flip(-1)).square().mean((1, 2, 3))}


class Edges(Objective):
    """The mean squared difference between the border of a picture, a twentieth of each side, and a colour."""

    def __init__(self, colours: Sequence[Colour] = ((1.0, 1.0, 1.0),)) -> None:
        self.colour = torch.tensor(colours[0])[:, None]  # (3, 1)

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"edges": (n,)}, 0 for a border of that colour."""
        frame = torch.ones(image.shape[-2:], dtype=torch.bool, device=image.device)
        down, across = (max(1, round(side / 20)) for side in image.shape[-2:])
        frame[down:-down, across:-across] = False
        return {"edges": (self.colour.to(image.device) - image[..., frame]).square().mean((1, 2))}


class Palette(Objective):
    """The mean distance of a picture's pixels from the nearest of some colours (pixray, 2021)."""

    def __init__(self, colours: Sequence[Colour]) -> None:
        self.colours = torch.tensor(colours)  # (colours, 3)

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"palette": (n,)}, 0 where every pixel has one of the colours."""
        palette = self.colours.to(image.device).expand(len(image), -1, -1)
        return {"palette": (image - colours_of(image.detach(), palette)).norm(dim=1).mean((1, 2))}


class Range(Objective):
    """The mean squared excess of colours over black and white before clamping, in [-1, 1] (Disco Diffusion, 2021).

    The canvas stores its last rendering before clamping for it.
    """

    def __init__(self, canvas: Canvas) -> None:
        if not canvas.cuts_off:
            raise SettingsError("the loss range has no effect: this canvas clamps no colours; leave it out")
        self.canvas = canvas

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """{"range": (n,)}, 0 if nothing is clamped."""
        uncut, self.canvas.uncut = self.canvas.uncut, None  # free the picture after the step
        if uncut is None:
            raise RuntimeError("the canvas has not kept its picture")
        beyond = 2 * (uncut - uncut.clamp(0, 1))
        return {"range": beyond.square().mean((1, 2, 3))}
