"""The pixels canvas: every pixel is its own parameter."""

from typing import Self

from pydantic import field_validator, model_validator

from vqclip_nb import colours
from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class PixelsOptions(CanvasOptions):
    """The options of a pixels canvas."""

    palette: int = option(0, "Palette", "paint with this many colours, which are learned too; 0 for any", ge=0, le=64)
    fixed_palette: str = option(
        "",
        "Fixed palette",
        "paint with these colours only, such as navy, #ffcc00, white; on the command line also photo.jpg 5, for five "
        "colours of a picture",
    )

    @field_validator("fixed_palette")
    @classmethod
    def _known_colours(cls, value: str) -> str:
        if value.strip():
            colours.parse(value, name="fixed_palette")
        return value.strip()

    @model_validator(mode="after")
    def _one_palette(self) -> Self:
        if self.palette and self.fixed_palette:
            raise ValueError(f"palette must be left out beside fixed_palette, got {self.palette}")
        return self


SPEC = CanvasSpec(
    name="pixels",
    title="plain pixels, no model",
    good_at="finishing a start image, seeing what a perceptor looks for, and posters of a few colours",
    lr=0.03,
    options=PixelsOptions,
)
