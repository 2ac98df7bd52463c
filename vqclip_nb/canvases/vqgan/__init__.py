"""The VQGAN canvas: codes of a learned codebook, decoded to a picture."""

from typing import Literal, Self

from pydantic import model_validator

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class VQGANOptions(CanvasOptions):
    """The options of a VQGAN canvas."""

    tidy: int | None = option(
        None,
        "Tidy every",
        "re-encode the picture every so many steps, to clear cracks; 0: never; default: what suits the model",
        live=True,
        ge=0,
        le=100_000,
    )
    codes: Literal["nearest", "multinomial", "gumbel"] = option(
        "nearest",
        "Codes",
        "how codes are chosen: the nearest to z, or sampled at each step from logits of all codes (step size 0.05)",
    )
    temperature: float = option(1.0, "Temperature", "of sampled codes: lower is less random", live=True, gt=0, le=100)

    @model_validator(mode="after")
    def _nothing_to_tidy(self) -> Self:
        if self.tidy and self.codes != "nearest":
            raise ValueError(f"tidy must be left out where codes are drawn, got {self.tidy}")
        return self


SPEC = CanvasSpec(
    name="vqgan",
    title="VQGAN",
    good_at="painterly pictures with texture and detail; the method that started text-to-image",
    lr=0.1,
    model_kind="vqgan",
    options=VQGANOptions,
    default_model="demo",
)
