"""Layout fields: the settings of masks, extension and symmetry."""

from typing import Literal

from pydantic import BaseModel

from vqclip_nb.schema import field

GROUP = "Picture"
KEPT_FEATHER = 8  # pixels beside the kept parts
ALPHA = "alpha"  # as a mask: the transparency of the start image


class LayoutFields(BaseModel):
    """The part of Settings that is about the layout of the picture."""

    mask: str | None = field(
        None,
        GROUP,
        "Mask",
        "a picture that is white where to paint, and black where the start image stays as it is; or alpha, to "
        "paint where the start image is transparent",
    )
    extend: str = field(
        "",
        GROUP,
        "Extend",
        "paint beyond the edges of the start image, which stays as it is: left 25% right 64, in percent of its side "
        "or in pixels; edges are left, top, right and bottom",
    )
    feather: float | None = field(
        None,
        GROUP,
        "Feather",
        "pixels over which the painting fades in beside the kept parts, and a prompt for a part of the picture fades "
        f"out beside it; default: {KEPT_FEATHER}, and for a prompt a tenth of its part",
        ge=0,
        le=512,
    )
    symmetry: Literal[
        "none", "mirror", "mirror-down", "mirror-both", "rotate-2", "rotate-3", "rotate-4", "rotate-5", "rotate-6"
    ] = field(
        "none",
        GROUP,
        "Symmetry",
        "mirror: the right half mirrors the left (mirror-down: the lower half mirrors the upper); rotate-3: it "
        "repeats after each third of a turn",
        live=True,
    )
    seamless: bool = field(
        False, GROUP, "Seamless tile", "opposite edges fit together, so that copies side by side show no seam"
    )
