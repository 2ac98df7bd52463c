"""The wavelets canvas: coefficients of wavelets, from coarse to fine."""

from typing import Literal

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class WaveletOptions(CanvasOptions):
    """The options of a wavelets canvas. Aphantasia uses coif2, sharp 0.3, contrast 1.1 and colours 1.8."""

    wave: Literal["coif1", "coif2", "coif3", "db2", "db4", "haar", "sym4", "sym8"] = option(
        "coif2", "Wavelet", "the wavelet: haar shows blocks, coif2 and sym8 are smooth"
    )
    sharp: float = option(0.3, "Sharpness", "weight of fine wavelets: higher is sharper", ge=0, le=1)
    contrast: float = option(1.0, "Contrast", "distance of colours from grey, relative to the default", gt=0, le=10)
    colours: float = option(1.0, "Colours", "strength of hues relative to brightness", gt=0, le=10)


SPEC = CanvasSpec(
    name="wavelets",
    title="wavelets, no model",
    good_at="pictures whose detail is fine in some places and soft in others; needs the extra `wavelets`",
    lr=0.02,
    options=WaveletOptions,
)
