"""The camera: one map of the plane for each frame of a film, and one resampling by it."""

import math
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb.overlay import filled_in
from vqclip_nb.schedules import value_at
from vqclip_nb.settings import Settings

_VIEW = math.radians(50)  # the angle that the longer side of the picture fills
_PADDING = {"reflect": "reflection", "stretch": "border", "wrap": "zeros", "fill": "zeros"}


@dataclass(frozen=True)
class Move:
    """How the picture moves from one frame to the next.

    zoom: a factor. shift: pixels to the right and down. rotate: degrees, anticlockwise. turn: degrees that the camera
    looks up and to the right. border: what comes in, as `Settings.border`.
    """

    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    rotate: float = 0.0
    turn: tuple[float, float] = (0.0, 0.0)
    border: str = "reflect"

    @classmethod
    def at(cls, settings: Settings, step: int) -> Self:
        """The move before the step that is made after `step` steps."""
        progress = step / settings.steps
        zoom, right, down, rotate, up, aside = (
            value_at(number, step, progress)
            for number in (
                settings.zoom,
                settings.shift_x,
                settings.shift_y,
                settings.rotate,
                settings.turn_x,
                settings.turn_y,
            )
        )
        return cls(zoom, (right, down), rotate, (up, aside), settings.border)

    @property
    def still(self) -> bool:
        """Whether the picture stays where it is."""
        return (self.zoom, self.shift, self.rotate, self.turn) == (1, (0, 0), 0, (0, 0))

    def source(self, width: int, height: int) -> Tensor:
        """The map from a pixel of the new picture to its place in the old one, (3, 3), float64, homogeneous.

        Pixels are counted from the middle of the picture, to the right and down. The new picture is the old one as a
        camera sees it that was turned, then zoomed and rotated about the middle, then shifted.
        """
        angle = math.radians(self.rotate)
        cos, sin = math.cos(angle), math.sin(angle)
        shift = _matrix([1, 0, -self.shift[0]], [0, 1, -self.shift[1]], [0, 0, 1])
        flat = _matrix([cos / self.zoom, -sin / self.zoom, 0], [sin / self.zoom, cos / self.zoom, 0], [0, 0, 1])
        distance = max(width, height) / 2 / math.tan(_VIEW / 2)  # of the camera from the picture, in pixels
        up, aside = (math.radians(degrees) for degrees in self.turn)
        tilt = _matrix([1, 0, 0], [0, math.cos(up), -math.sin(up)], [0, math.sin(up), math.cos(up)])
        pan = _matrix([math.cos(aside), 0, math.sin(aside)], [0, 1, 0], [-math.sin(aside), 0, math.cos(aside)])
        into = torch.diag(torch.tensor([1 / distance, 1 / distance, 1.0], dtype=torch.float64))
        out = torch.diag(torch.tensor([distance, distance, 1.0], dtype=torch.float64))
        return out @ pan @ tilt @ into @ flat @ shift

    def __call__(self, image: Tensor) -> Tensor:
        """The moved picture: (n, 3, H, W) RGB in [0, 1] to the same, by one bicubic resampling."""
        if self.still:
            return image
        height, width = image.shape[-2:]
        places = self._places(height, width).to(image.device)
        if self.border == "wrap":
            sides = torch.tensor([width, height], dtype=torch.float64, device=image.device)
            places = places.remainder(sides)
            image = F.pad(image, (2, 2, 2, 2), mode="circular")  # a bicubic look reaches two pixels beyond its place
            places, width, height = places + 2, width + 4, height + 4
        grid = 2 * places / torch.tensor([width, height], dtype=torch.float64, device=image.device) - 1
        grid = grid.float()[None].expand(len(image), -1, -1, -1)
        padding = _PADDING[self.border]
        moved = F.grid_sample(image, grid, "bicubic", padding, align_corners=False).clamp(0, 1)
        if self.border != "fill":
            return moved
        known = (grid.abs() <= 1).all(-1)[:, None].to(image)
        return filled_in(moved, known)

    def _places(self, height: int, width: int) -> Tensor:
        """Where each pixel's middle lies in the old picture, in pixels from its left and upper edge, (H, W, 2)."""
        across = torch.arange(width, dtype=torch.float64) + 0.5 - width / 2
        down = torch.arange(height, dtype=torch.float64) + 0.5 - height / 2
        new = torch.stack([*torch.meshgrid(across, down, indexing="xy"), torch.ones(height, width).double()], -1)
        old = new @ self.source(width, height).T
        depth = old[..., 2:].clamp(min=1e-3)  # what lies behind the camera comes from far outside
        return old[..., :2] / depth + torch.tensor([width / 2, height / 2], dtype=torch.float64)


def _matrix(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)
