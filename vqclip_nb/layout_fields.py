"""Layout fields: the settings of where in the picture is painted, and how its parts belong together."""

from typing import Literal

from pydantic import BaseModel

from vqclip_nb.schema import field

GROUP = "Picture"
ALPHA = "alpha"  # as a mask: the transparency of the start image


class LayoutFields(BaseModel):
    """The part of Settings that is about the picture's parts."""

    mask: str | None = field(
        None,
        GROUP,
        "Mask",
        "a picture, white where to paint and black where the start image stays to the pixel; or alpha, to paint where "
        "the start image is transparent",
    )
    extend: str = field(
        "",
        GROUP,
        "Extend",
        "paint on beyond the start image, which stays to the pixel: left 25% right 64, in percent of its side or in "
        "pixels; left, top, right and bottom",
    )
    feather: float = field(
        8.0, GROUP, "Feather", "pixels over which the painting fades in beside what is kept", ge=0, le=512
    )
    symmetry: Literal[
        "none", "mirror", "mirror-down", "mirror-both", "rotate-2", "rotate-3", "rotate-4", "rotate-5", "rotate-6"
    ] = field(
        "none",
        GROUP,
        "Symmetry",
        "mirror: the right half is the left one mirrored (mirror-down: the lower half is the upper one); rotate-3: the "
        "same after each third of a turn",
        live=True,
    )
    seamless: bool = field(
        False, GROUP, "Seamless tile", "opposite edges fit together, so that copies side by side show no seam"
    )
