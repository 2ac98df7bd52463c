"""The BigGAN canvas: the latents and classes of a generator."""

from typing import Literal, Self

from pydantic import model_validator

from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class BigGANOptions(CanvasOptions):
    """The options of a BigGAN canvas. The defaults are Big Sleep's, except `penalty`."""

    max_classes: int | None = option(
        None, "Classes at most", "mix at most this many ImageNet classes in each layer; default: all", ge=1, le=1000
    )
    class_temperature: float = option(
        2.0, "Class temperature", "with max_classes: higher mixes them more evenly", gt=0, le=100, live=True
    )
    gumbel: bool = option(
        False, "Gumbel classes", "draw one class for each layer at every step, at the class temperature"
    )
    truncation: float = option(
        1.0,
        "Truncation",
        "the truncation of the stored statistics: 1 gives the full variety of pictures",
        ge=0.02,
        le=1,
    )
    statistics: Literal["published", "plain"] = option(
        "published",
        "Statistics",
        "how the statistics of two truncations are mixed: as in the published port, or linearly",
    )
    penalty: float = option(
        0.01,
        "Penalty",
        "weight of losses that keep latents normal and classes few; Big Sleep's is 1, with the distance cosine",
        ge=0,
        le=100,
        live=True,
    )

    @model_validator(mode="after")
    def _one_choice_of_classes(self) -> Self:
        if self.gumbel and self.max_classes is not None:
            raise ValueError(f"max_classes must be left out beside gumbel, got {self.max_classes}")
        return self


SPEC = CanvasSpec(
    name="biggan",
    title="BigGAN",
    good_at="photographic things and animals of ImageNet; the method of Big Sleep",
    lr=0.07,
    model_kind="biggan",
    options=BigGANOptions,
    default_model="512",
)
