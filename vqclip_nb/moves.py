"""Moves: the camera's move from one frame to the next, as a 3 x 3 matrix. Needs no torch."""

import math
from dataclasses import dataclass
from functools import reduce
from typing import Self

from vqclip_nb.schedules import value_at
from vqclip_nb.settings import Settings

_VIEW = math.radians(50)  # the camera's field of view along the longer side
Matrix = list[list[float]]


@dataclass(frozen=True)
class Move:
    """The camera's move from one frame to the next.

    zoom: a factor. shift: pixels to the right and down. rotate: degrees, anticlockwise. turn: degrees that the camera
    looks up and to the right. border: as `Settings.border`.
    """

    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    rotate: float = 0.0
    turn: tuple[float, float] = (0.0, 0.0)
    border: str = "reflect"

    @classmethod
    def at(cls, settings: Settings, step: int) -> Self:
        """The move after `step` steps, before the next one."""
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
        """Whether nothing moves."""
        return (self.zoom, self.shift, self.rotate, self.turn) == (1, (0, 0), 0, (0, 0))

    def source(self, width: int, height: int) -> Matrix:
        """The homogeneous 3 x 3 matrix from a pixel of the new picture to its source in the old one.

        Pixels are counted from the middle of the picture, to the right and down. The camera is turned first, then the
        picture is zoomed and rotated about its middle, then shifted.
        """
        angle, distance = math.radians(self.rotate), max(width, height) / 2 / math.tan(_VIEW / 2)
        cos, sin = math.cos(angle) / self.zoom, math.sin(angle) / self.zoom
        up, aside = (math.radians(degrees) for degrees in self.turn)
        steps: list[Matrix] = [
            [[1, 0, -self.shift[0]], [0, 1, -self.shift[1]], [0, 0, 1]],
            [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]],
            [[1 / distance, 0, 0], [0, 1 / distance, 0], [0, 0, 1]],  # to rays of a camera at this distance
            [[1, 0, 0], [0, math.cos(up), -math.sin(up)], [0, math.sin(up), math.cos(up)]],
            [[math.cos(aside), 0, math.sin(aside)], [0, 1, 0], [-math.sin(aside), 0, math.cos(aside)]],
            [[distance, 0, 0], [0, distance, 0], [0, 0, 1]],
        ]
        return reduce(lambda so_far, step: product(step, so_far), steps)


def product(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product of two 3 x 3 matrices: `right` is applied first."""
    return [[sum(left[row][k] * right[k][column] for k in range(3)) for column in range(3)] for row in range(3)]


def apply(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """Apply a 3 x 3 matrix to a point."""
    across, down, depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    return across / max(depth, 1e-3), down / max(depth, 1e-3)
