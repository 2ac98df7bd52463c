"""The pixels canvas: every pixel is its own parameter."""

from vqclip_nb.canvases.spec import CanvasSpec

SPEC = CanvasSpec(
    name="pixels",
    title="plain pixels, no model",
    good_at="finishing a start image, and seeing what a perceptor looks for",
    lr=0.03,
)
