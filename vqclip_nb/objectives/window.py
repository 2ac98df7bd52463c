"""Windows: the part of a picture for a prompt with a region."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vqclip_nb import images, prompts
from vqclip_nb.errors import PictureError
from vqclip_nb.gradients import straight_through
from vqclip_nb.regions import Region
from vqclip_nb.settings import Settings

_MARGIN = 0.1  # the feather where none is set, as a share of the region's shorter side


@dataclass
class Window:
    """Cuts a region, with a margin around it, out of pictures.

    Within the region gradients pass unchanged; over the margin they fade to 0. area: grey, of the picture's
    proportions; 255 is within the region, and darker values weaken the prompt. feather: the margin's width in pixels
    of the rendering; None: a tenth of the region's shorter side.
    """

    area: Image.Image
    feather: float | None = None
    _placed: tuple[torch.Size, slice, slice, Tensor] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, region: Region, settings: Settings, *, inputs: Path | None = None) -> "Window":
        """The window of a prompt's region. Raises PictureError, SettingsError."""
        if region.mask is None:
            area = Image.new("L", settings.size, 0)
            area.paste(255, region.box(settings.size))
            return cls(area, settings.feather)
        path = _file(region.mask, settings, inputs)
        area = images.covering(images.read(path, field="prompt_masks").convert("L"), settings.size)
        name = prompts.parse_picture(settings.prompt_masks[region.mask - 1]).text
        if not area.getbbox():
            remedy = "paint it white where the prompt applies"
            raise PictureError(f"prompt_masks must show where a prompt applies, got {name!r}, all black; {remedy}")
        return cls(area, settings.feather)

    def __call__(self, image: Tensor) -> Tensor:
        """(n, 3, H, W) -> the window, (n, 3, h, w)."""
        if self._placed is None or self._placed[0] != image.shape[-2:]:
            self._placed = (image.shape[-2:], *self._place(image))
        _, rows, columns, weights = self._placed
        view = image[..., rows, columns]
        return straight_through(view, view * weights)

    def _place(self, image: Tensor) -> tuple[slice, slice, Tensor]:
        """The rows and columns of the window in a rendering, and the weight of each pixel's gradient, (1, 1, h, w)."""
        height, width = image.shape[-2:]
        region = images.to_tensor(images.covering(self.area, (width, height)))[:, :1]
        inside = region[0, 0] > 0.01
        bands = []
        for across, side in ((1, height), (0, width)):
            indices = inside.any(across).nonzero()[:, 0].tolist()
            bands.append((indices[0], indices[-1] + 1, side))
        share = _MARGIN * min(end - begin for begin, end, _ in bands)
        margin = round(share if self.feather is None else self.feather)
        rows, columns = (slice(max(begin - margin, 0), min(end + margin, side)) for begin, end, side in bands)
        return rows, columns, _fade(region, margin)[..., rows, columns].to(image)


def cropped_masks(settings: Settings, *, inputs: Path | None = None) -> list[str]:
    """A sentence for each prompt mask that is cropped, since the picture has another shape. Raises PictureError."""
    regions = (prompt.region for prompt in prompts.parse(settings.prompt))
    sentences, (width, height) = [], settings.size
    for number in sorted({region.mask for region in regions if region and region.mask}):
        wide, high = images.read(_file(number, settings, inputs), field="prompt_masks").size
        scale = max(width / wide, height / high)
        if max(scale * wide - width, scale * high - height) >= 1:
            sizes = f"{wide} x {high} pixels and the picture {width} x {height}"
            sentences.append(f"prompt mask {number} has {sizes}; it is scaled, and cropped to that shape")
    return sentences


def _file(number: int, settings: Settings, inputs: Path | None) -> Path:
    """The file of a prompt's mask, by its number from 1."""
    name = prompts.parse_picture(settings.prompt_masks[number - 1]).text
    return images.locate(name, field="prompt_masks", inputs=inputs)


def _fade(region: Tensor, margin: int) -> Tensor:
    """Extend a region by `margin` pixels, fading to 0."""
    spread, result = region, region
    for distance in range(1, margin + 1):
        spread = torch.nn.functional.max_pool2d(spread, 3, 1, padding=1)
        result = torch.maximum(result, spread * (1 - distance / (margin + 1)))
    return result
