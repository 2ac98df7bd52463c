"""Augmentation of views, as in the 2021 notebooks: moved, recoloured, erased and made noisy."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vqclip_nb.cutouts.geometry import affine, inverse, perspective, warp
from vqclip_nb.cutouts.spec import CutoutSpec
from vqclip_nb.rng import Draws


@dataclass(frozen=True)
class Augment:
    """The strength of each augmentation, and its probability (`_p`) for a view.

    The numbers are those of the 2021 notebooks. Angles are in degrees; shift, distortion and area are shares of the
    side. All views of a picture share one erased rectangle.
    """

    degrees: float
    affine_p: float
    distortion: float
    perspective_p: float
    hue: float
    saturation: float
    colour_p: float
    shift: float = 0.1
    flip_p: float = 0.0
    sharpness: float = 0.0
    sharpness_p: float = 0.0
    erase_p: float = 0.0
    erase_area: tuple[float, float] = (0.1, 0.4)
    erase_ratio: float = 0.3
    noise: float = 0.1


POOLING_AUGMENT = Augment(15, 0.7, 0.7, 0.7, 0.1, 0.1, 0.7, erase_p=0.7)  # "with pooling trick" (Crimeacs)
CROPS_AUGMENT = Augment(30, 0.8, 0.2, 0.4, 0.01, 0.01, 0.7, flip_p=0.5, sharpness=0.3, sharpness_p=0.4)


class Chances:
    """The random numbers of every view: small tensors on the CPU, n * cutn long, neutral for views left unchanged."""

    def __init__(self, augment: Augment, draws: Draws, cutouts: CutoutSpec) -> None:
        self.augment, self.draws, self.cutouts = augment, draws, cutouts
        uniform = draws.uniform("augment", (cutouts.cutn, 19)).flatten(0, 1)  # (n * cutn, 19)
        gates, values = uniform[:, :5], uniform[:, 5:]
        span = 2 * values - 1  # in [-1, 1)

        affine_gate = (gates[:, 0] < augment.affine_p).float()
        angle = affine_gate * span[:, 0] * math.radians(augment.degrees)
        shift = affine_gate * span[:, 1] * augment.shift * cutouts.cut_size
        flip = 1 - 2 * (gates[:, 3] < augment.flip_p).float()
        self.affine = affine(angle, shift, flip, cutouts.cut_size)  # (n * cutn, 3, 3), from source to view
        perspective_gate = (gates[:, 1] < augment.perspective_p).float()[:, None, None]
        inwards = perspective_gate * augment.distortion / 2 * values[:, 2:10].unflatten(1, (4, 2))
        self.perspective = perspective(inwards, cutouts.cut_size)  # (n * cutn, 3, 3), from source to view
        colour_gate = (gates[:, 2] < augment.colour_p).float()
        self.hue = colour_gate * span[:, 10] * augment.hue  # in turns
        self.saturation = 1 + colour_gate * span[:, 11] * augment.saturation
        self.sharpness = torch.where(gates[:, 4] < augment.sharpness_p, values[:, 12] * augment.sharpness, 1.0)
        self.noise_level = values[:, 13] * augment.noise

    def erased(self) -> Tensor:
        """The rectangle to erase from all views of a picture: top, left, height, width in pixels, (n, 4)."""
        gate, area, shape, tall, left, top = self.draws.uniform("erase", (6,)).unbind(1)  # (n,) each
        low, high = self.augment.erase_area
        area = (low + (high - low) * area) * self.cutouts.cut_size**2
        ratio = self.augment.erase_ratio + (1 - self.augment.erase_ratio) * shape
        wide = 1 + (1 / self.augment.erase_ratio - 1) * shape
        ratio = torch.where(tall < 0.5, ratio, wide)  # height over width
        size = self.cutouts.cut_size
        height, width = ((area * ratio).sqrt().floor().clamp(1, size), (area / ratio).sqrt().floor().clamp(1, size))
        top, left = ((top * (size - height + 1)).floor(), (left * (size - width + 1)).floor())
        return torch.stack([top, left, height, width], 1) * (gate < self.augment.erase_p)[:, None]

    def kept_area(self, like: Tensor) -> Tensor:
        """A mask of each view, 0 in the erased rectangle and 1 elsewhere: (n * cutn, 1, cut, cut)."""
        position = torch.arange(self.cutouts.cut_size)
        top, left, height, width = self.erased().unbind(1)
        in_row = (position >= top[:, None]) & (position < (top + height)[:, None])  # (n, cut)
        in_column = (position >= left[:, None]) & (position < (left + width)[:, None])
        inside = in_row[:, :, None] & in_column[:, None, :]
        return (~inside)[:, None].to(like).repeat_interleave(self.cutouts.cutn, 0)

    def grain(self) -> Tensor:
        """Normal numbers for each view, (n * cutn, 3, cut, cut), on the draws' device."""
        size = self.cutouts.cut_size
        return self.draws.normal("noise", (self.cutouts.cutn, 3, size, size)).flatten(0, 1)

    def noise(self) -> Tensor:
        """U(0, noise) * randn for each view, (n * cutn, 3, cut, cut), on the draws' device."""
        grain = self.grain()
        return grain * self.noise_level.to(grain)[:, None, None, None]

    def numbers(self) -> Tensor:
        """All numbers but the grain, packed for `gpu.cutout_kernels.augment_views`."""
        maps = (inverse(self.perspective).flatten(1), inverse(self.affine)[:, :2].flatten(1))
        single = torch.stack([self.hue, self.saturation, self.noise_level], 1)
        return torch.cat([*maps, single, self.erased().repeat_interleave(self.cutouts.cutn, 0)], 1)


def augment_views(views: Tensor, chances: Chances) -> Tensor:
    """Augment views: (m, 3, cut, cut) -> the same."""
    views = warp(views, chances.affine, chances.perspective)
    if chances.augment.sharpness_p:
        views = sharpen(views, chances.sharpness.to(views))
    views = recolour(views, hue=chances.hue.to(views), saturation=chances.saturation.to(views))
    if chances.augment.erase_p:
        views = views * chances.kept_area(views)
    return views + chances.noise().to(views)


def recolour(views: Tensor, *, hue: Tensor, saturation: Tensor) -> Tensor:
    """Multiply saturation and rotate hue (in turns), as in HSV: (m, 3, h, w) in [0, 1] -> the same.

    Each channel is value - chroma * ramp; the ramp is a trapezoid over the hue, in sixths of a turn.
    """
    red, green, blue = views.unbind(1)  # (m, h, w) each
    value = views.amax(1)
    chroma = value - views.amin(1)
    first, second = red == value, green == value
    difference = torch.where(first, green - blue, torch.where(second, blue - red, red - green))
    start = torch.where(first, 0.0, torch.where(second, 2.0, 4.0)) + 6 * hue[:, None, None]
    sixths = start + difference / chroma.clamp(min=1e-8)
    distance = sixths[:, None] + torch.tensor([3.0, 1.0, -1.0]).to(views)[:, None, None]  # (m, 3, h, w)
    ramp = (2 - (distance - 6 * (distance / 6).round()).abs()).clamp(0, 1)
    chroma = torch.minimum(chroma * saturation[:, None, None], value)
    return torch.addcmul(value[:, None], chroma[:, None], ramp, value=-1)


def sharpen(views: Tensor, factor: Tensor) -> Tensor:
    """PIL's sharpness: 1 keeps a view, 0 smooths it: (m, 3, h, w) and (m,) -> (m, 3, h, w)."""
    from kornia.enhance import sharpness

    return sharpness(views.clamp(0, 1), factor)
