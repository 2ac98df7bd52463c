"""The VQGAN canvas: codes of a learned codebook, decoded to a picture."""

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class VQGANOptions(CanvasOptions):
    """What can be chosen of a VQGAN canvas."""

    tidy: int | None = option(
        None,
        "Tidy every",
        "re-encode the picture every so many steps, against cracks; 0 is never; left out, what suits the model",
        live=True,
        ge=0,
        le=100_000,
    )


SPEC = CanvasSpec(
    name="vqgan",
    title="VQGAN",
    good_at="painterly pictures with texture and detail; the method that started text-to-image",
    lr=0.1,
    model_kind="vqgan",
    options=VQGANOptions,
    default_model="demo",
)
