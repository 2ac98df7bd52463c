"""The Fourier canvas: a spectrum whose low frequencies weigh more."""

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class FourierOptions(CanvasOptions):
    """How waves become colours. Aphantasia's are decay 1.5, contrast 1.1 and colours 1.8."""

    decay: float = option(1.0, "Decay", "how much more low frequencies weigh: higher is softer", ge=0, le=4)
    contrast: float = option(1.0, "Contrast", "how far colours lie from grey, in units of the default", gt=0, le=10)
    colours: float = option(1.0, "Colours", "how strong colours are beside light and dark", gt=0, le=10)


SPEC = CanvasSpec(
    name="fourier",
    title="waves, no model",
    good_at="soft, dreamlike pictures of any size, with no model to download",
    lr=0.02,
    options=FourierOptions,
)
