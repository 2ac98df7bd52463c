"""The Fourier canvas: a spectrum with more weight on low frequencies."""

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class FourierOptions(CanvasOptions):
    """The options of a Fourier canvas. Aphantasia uses decay 1.5, contrast 1.1 and colours 1.8."""

    decay: float = option(1.0, "Decay", "how much more weight low frequencies have: higher is softer", ge=0, le=4)
    contrast: float = option(1.0, "Contrast", "distance of colours from grey, relative to the default", gt=0, le=10)
    colours: float = option(1.0, "Colours", "strength of hues relative to brightness", gt=0, le=10)


SPEC = CanvasSpec(
    name="fourier",
    title="waves, no model",
    good_at="soft, dreamlike pictures of any size, with no model to download",
    lr=0.02,
    options=FourierOptions,
)
