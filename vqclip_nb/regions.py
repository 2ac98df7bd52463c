"""Regions: the part of the picture that a prompt applies to, written after its text.

    a castle [0 0 50% 100%] | a meadow [0 200 100% 100%]:2 | clouds [mask 1]

A rectangle is given by its left, top, right and bottom edges, in pixels or in percent of the picture's sides. `[mask
1]` is the first picture of `prompt_masks`, which is white where the prompt applies.
"""

import re
from dataclasses import dataclass

from vqclip_nb.errors import SettingsError

EXAMPLE = "a castle [0 0 50% 100%]"
EDGES = ("left", "top", "right", "bottom")
_EDGE = r"\d{1,5}(?:\.\d{1,3})?%?"
_RECTANGLE = re.compile(rf"({_EDGE})[\s,]+({_EDGE})[\s,]+({_EDGE})[\s,]+({_EDGE})")
_MASK = re.compile(r"mask\s*(\d{1,3})", re.IGNORECASE)


@dataclass(frozen=True)
class Region:
    """A rectangle, by its four edges as written, or a mask by its number, from 1. `split` reads `str(region)` back."""

    edges: tuple[str, ...] = ()
    mask: int | None = None

    def __str__(self) -> str:
        return f"[{' '.join(self.edges) if self.mask is None else f'mask {self.mask}'}]"

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The rectangle in whole pixels of a picture of this width and height: left, top, right, bottom.

        Raises SettingsError when it is empty, or reaches beyond the picture.
        """
        sides = (*size, *size)
        edges = [pixels(edge, side) for edge, side in zip(self.edges, sides, strict=True)]
        if any(place > side for place, side in zip(edges, sides, strict=True)):
            problem = f"the picture has {size[0]} x {size[1]} pixels; write percent, as in {EXAMPLE}"
            raise SettingsError(f"a region must lie within the picture, got {self}: {problem}")
        left, top, right, bottom = edges
        if right <= left or bottom <= top:
            order = "left, top, right and bottom edge, in this order"
            raise SettingsError(f"a region must hold some pixels, got {self}; write its {order}, as in {EXAMPLE}")
        return left, top, right, bottom


def split(text: str) -> tuple[str, Region | None]:
    """Split a text into the rest and the region at its end, or None. Other brackets stay text."""
    match = re.fullmatch(r"(.*\S)\s*\[\s*([^\[\]]*?)\s*\]\s*", text, re.DOTALL)
    if match is None:
        return text, None
    if rectangle := _RECTANGLE.fullmatch(match[2]):
        return match[1], Region(rectangle.groups())
    if (mask := _MASK.fullmatch(match[2])) and int(mask[1]):
        return match[1], Region(mask=int(mask[1]))
    return text, None


def margins(text: str) -> dict[str, str]:
    """Read `left 25% top 64` as widths by edge, in percent of the side or in pixels. Raises SettingsError."""
    words = text.replace(",", " ").lower().split()
    widths = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or any(not re.fullmatch(_EDGE, width) for width in widths.values()) or widths.keys() - {*EDGES}:
        raise SettingsError(f"extend must be edges and widths, like left 25% top 64, got {text!r}")
    return widths


def pixels(edge: str, side: int) -> int:
    """A length in pixels or in percent of a side, as whole pixels."""
    number = float(edge.rstrip("%"))
    return round(number / 100 * side) if edge.endswith("%") else round(number)
