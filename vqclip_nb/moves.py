"""Moves: how a film's picture moves from one frame to the next, as one map of the plane. Needs no torch."""

import math
from dataclasses import dataclass
from functools import reduce
from typing import Self

from vqclip_nb.schedules import value_at
from vqclip_nb.settings import Settings

_VIEW = math.radians(50)  # the angle that the longer side of the picture fills
Matrix = list[list[float]]


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

    def source(self, width: int, height: int) -> Matrix:
        """The map from a pixel of the new picture to its place in the old one, three rows of three, homogeneous.

        Pixels are counted from the middle of the picture, to the right and down. The new picture is the old one as a
        camera sees it that was turned, then zoomed and rotated about the middle, then shifted.
        """
        angle, distance = math.radians(self.rotate), max(width, height) / 2 / math.tan(_VIEW / 2)
        cos, sin = math.cos(angle) / self.zoom, math.sin(angle) / self.zoom
        up, aside = (math.radians(degrees) for degrees in self.turn)
        steps: list[Matrix] = [
            [[1, 0, -self.shift[0]], [0, 1, -self.shift[1]], [0, 0, 1]],
            [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]],
            [[1 / distance, 0, 0], [0, 1 / distance, 0], [0, 0, 1]],  # to rays of a camera that far from the picture
            [[1, 0, 0], [0, math.cos(up), -math.sin(up)], [0, math.sin(up), math.cos(up)]],
            [[math.cos(aside), 0, math.sin(aside)], [0, 1, 0], [-math.sin(aside), 0, math.cos(aside)]],
            [[distance, 0, 0], [0, distance, 0], [0, 0, 1]],
        ]
        return reduce(lambda so_far, step: product(step, so_far), steps)


def product(left: Matrix, right: Matrix) -> Matrix:
    """The map that does `right` first, and then `left`; both three rows of three."""
    return [[sum(left[row][k] * right[k][column] for k in range(3)) for column in range(3)] for row in range(3)]


def applied(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """Where a map takes a place."""
    across, down, depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    return across / max(depth, 1e-3), down / max(depth, 1e-3)
