"""CutoutSpec: the parameters of a cutout method."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CutoutSpec:
    """`cutn` views of each picture, `cut_size` pixels square.

    cut_pow: above 1 favours small crops. augments: letters such as "Af Pe Ji" that vary each view, in this order;
    "" for the method's own. sizes: the least and the largest side of a crop, as shares of the picture's shorter side,
    or None for the method's own.
    """

    name: str
    cut_size: int
    cutn: int
    cut_pow: float = 1.0
    augments: str = ""
    sizes: tuple[float, float] | None = None
