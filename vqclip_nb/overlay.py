"""Overlay: keeps the start image where a mask is black."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vqclip_nb import images, regions
from vqclip_nb.errors import PaintWarning, PictureError
from vqclip_nb.layout_fields import ALPHA, KEPT_FEATHER
from vqclip_nb.settings import Settings


@dataclass
class Overlay:
    """Puts the kept parts of a start image over a rendering.

    picture: the start image, RGB. mask: grey, of the same size; 255 is painted, 0 is kept, and greys are mixed.
    feather: pixels of the rendering over which the painting fades in, measured from the kept parts inwards.
    """

    picture: Image.Image
    mask: Image.Image
    feather: float = 0.0
    _placed: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings, *, inputs: Path | None = None) -> "Overlay | None":
        """The overlay of these settings, or None. Raises PictureError when the mask leaves nothing to paint.

        A mask of another size than the start image is scaled to it, with a PaintWarning.
        """
        if not (settings.mask or settings.extend) or not settings.init_image:
            return None
        path = images.locate(settings.init_image, field="init_image", inputs=inputs)
        picture = images.read(path, field="init_image")
        if not settings.mask:
            mask = Image.new("L", picture.size, 0)
            remedy = "leave out --mask"
        elif settings.mask == ALPHA:
            mask = images.transparency(path, field="init_image")
            picture = fill(picture, mask)
            remedy = "make the part to be painted transparent, or name a mask"
        else:
            mask = images.read(images.locate(settings.mask, field="mask", inputs=inputs), field="mask").convert("L")
            remedy = "paint the part to be painted white"
        if mask.size != picture.size:
            sizes = "{} x {} pixels and the start image {} x {}".format(*mask.size, *picture.size)
            warnings.warn(f"the mask has {sizes}; it is scaled to that", PaintWarning, stacklevel=3)
            mask = mask.resize(picture.size, Image.Resampling.BILINEAR)
        if edges := regions.margins(settings.extend):
            picture, mask = extend(picture, mask, edges)
        if not images.covering(mask, settings.size).getbbox():
            raise PictureError(f"mask must leave something to paint, got {settings.mask!r}, all black; {remedy}")
        return cls(picture, mask, KEPT_FEATHER if settings.feather is None else settings.feather)

    def __call__(self, image: Tensor) -> Tensor:
        """(n, 3, H, W) RGB in [0, 1] -> the same with the kept parts, exact to the bit where the mask is 0."""
        if self._placed is None or self._placed[0].shape[-2:] != image.shape[-2:]:
            self._placed = self._place(image)
        picture, mask = self._placed
        return torch.lerp(picture.expand_as(image), image, mask)

    def _place(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The picture, (1, 3, H, W), and the mask, (1, 1, H, W), at a rendering's size and on its device."""
        size = (image.shape[-1], image.shape[-2])
        picture = images.to_tensor(images.covering(self.picture, size))
        mask = images.to_tensor(images.covering(self.mask, size))[:, :1]
        return picture.to(image), feather_mask(mask, self.feather).to(image)


def extend(picture: Image.Image, mask: Image.Image, edges: Mapping[str, str]) -> tuple[Image.Image, Image.Image]:
    """Add margins to a picture and its mask, filled with the nearest colours; `edges` is from `regions.margins`."""
    left, top, right, bottom = (
        regions.pixels(edges.get(name, "0"), picture.size[index % 2]) for index, name in enumerate(regions.EDGES)
    )
    size = (left + picture.width + right, top + picture.height + bottom)
    if size[0] * size[1] > images.MOST_PIXELS:
        raise PictureError(
            f"extend must leave a picture of at most {images.MOST_PIXELS:,} pixels, got {size[0]} x {size[1]}"
        )
    larger, hole = Image.new("RGB", size), Image.new("L", size, 255)
    larger.paste(picture, (left, top))
    around = Image.new("L", size, 255)
    around.paste(0, (left, top, left + picture.width, top + picture.height))
    hole.paste(mask, (left, top))
    return fill(larger, around), hole


def fill(picture: Image.Image, hole: Image.Image) -> Image.Image:
    """Fill a hole in an RGB picture with the colours around it. `hole` is grey, 255 inside."""
    known = 1 - images.to_tensor(hole)[:, :1]
    (result,) = images.to_pils(fill_unknown(images.to_tensor(picture), known))
    return result


def fill_unknown(colours: Tensor, known: Tensor) -> Tensor:
    """Fill in unknown colours, (n, 3, H, W), where `known`, (n, 1, H, W) in [0, 1], is the confidence in each.

    Uses the pull-push pyramid (Gortler et al., The Lumigraph, 1996).
    """
    height, width = colours.shape[-2:]
    if max(height, width) == 1:
        return colours
    halves = ((height + 1) // 2, (width + 1) // 2)
    weights = F.adaptive_avg_pool2d(known, halves)
    sums = F.adaptive_avg_pool2d(colours * known, halves)
    coarse = fill_unknown(sums / weights.clamp(min=1e-6), (4 * weights).clamp(max=1))
    around = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return torch.lerp(around, colours, known)


def feather_mask(mask: Tensor, pixels: float) -> Tensor:
    """Make a mask, (1, 1, H, W) in [0, 1], rise over `pixels` pixels from where it is 0; zeros stay exactly 0.

    Erosion by half of `pixels`, then a box blur of the same radius.
    """
    radius = min(round(pixels / 2), (min(mask.shape[-2:]) - 1) // 2)
    if radius < 1:
        return mask
    sides = (radius,) * 4
    least = -F.max_pool2d(F.pad(-mask, sides, mode="replicate"), 2 * radius + 1, 1)
    return F.avg_pool2d(F.pad(least, sides, mode="replicate"), 2 * radius + 1, 1)
