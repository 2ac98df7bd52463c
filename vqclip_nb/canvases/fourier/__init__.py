"""The Fourier canvas: a spectrum whose low frequencies weigh more."""

from vqclip_nb.canvases.spec import CanvasSpec

SPEC = CanvasSpec(
    name="fourier",
    title="waves, no model",
    good_at="soft, dreamlike pictures of any size, with no model to download",
    lr=0.1,
)
