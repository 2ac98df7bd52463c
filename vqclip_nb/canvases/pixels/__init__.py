"""The pixels canvas: every pixel is its own parameter."""

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class PixelsOptions(CanvasOptions):
    """What can be chosen of a pixels canvas."""

    palette: int = option(0, "Palette", "paint with so many colours, which are learned too; 0 for any", ge=0, le=64)


SPEC = CanvasSpec(
    name="pixels",
    title="plain pixels, no model",
    good_at="finishing a start image, seeing what a perceptor looks for, and posters of a few colours",
    lr=0.03,
    options=PixelsOptions,
)
