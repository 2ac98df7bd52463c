"""Cutout fields: the settings of the cutouts that a perceptor sees."""

import re
from typing import Annotated

from pydantic import BaseModel, model_validator

from vqclip_nb.choices import CutoutMethods
from vqclip_nb.schedules import Number, Scheduled, Whole
from vqclip_nb.schema import field

_SIZES = re.compile(r"\s*(\d?\.?\d+|\d\.)\s*(?:-|–|to)\s*(\d?\.?\d+|\d\.)\s*")
SIZED = ("uniform", "uniform-rising", "uniform-centre", "normal", "normal-centre")  # cutouts whose sizes can be chosen


def parse_sizes(text: str) -> tuple[float, float] | None:
    """Read `0.1-0.8`: the smallest and largest side of a crop as shares of the picture's side.

    "" is None. Raises ValueError.
    """
    if not text.strip():
        return None
    match = _SIZES.fullmatch(text)
    low, high = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if not 0 <= low <= high <= 1 or not high:
        raise ValueError(f"crop_sizes must be the least and the largest share of the picture, as 0.1-0.8, got {text!r}")
    return low, high


class CutoutFields(BaseModel):
    """The part of Settings that is about cutouts."""

    cutouts: CutoutMethods = field(
        "pooling",
        "Cutouts",
        "Cutouts",
        "the views that the perceptor sees: pooling of the whole picture (pooling-published is exactly that of 2021), "
        "or random crops, by the methods of several tools",
        live=True,
    )
    augments: str = field(
        "",
        "Cutouts",
        "Augments",
        "how each cutout is varied: nerdyrodent's letters as 'Af Pe Ji Er', or none; default: as the cutouts do",
        live=True,
    )
    cutn: Annotated[Whole, Scheduled(int, ge=1, le=512)] = field(
        16, "Cutouts", "Cutouts per step", "views of the picture per step: more is steadier and slower", live=True
    )
    cut_pow: Annotated[Number, Scheduled(gt=0, le=16)] = field(
        1.0, "Cutouts", "Crop power", "crops only: above 1 favours small crops, below 1 large ones", live=True
    )
    crop_sizes: str = field(
        "",
        "Cutouts",
        "Sizes of crops",
        f"smallest and largest crop, as shares of the picture: 0.1-0.8; for the cutouts {', '.join(SIZED)}; "
        "default: their own",
        live=True,
    )

    @model_validator(mode="after")
    def _sizes_where_they_count(self) -> "CutoutFields":
        if self.crop_sizes.strip() and self.cutouts not in SIZED:
            problem = f"crop_sizes are for the cutouts {', '.join(SIZED)}, and cutouts is {self.cutouts}"
            raise ValueError(f"{problem}; add --cutouts uniform")
        return self
