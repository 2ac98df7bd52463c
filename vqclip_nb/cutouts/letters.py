"""Augmentations by letter, as in nerdyrodent's `-aug Af Pe Ji Er`, with its numbers and in the order given."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb import augments
from vqclip_nb.cutouts.augment import POOLING_AUGMENT, Augment, Chances, recolour, sharpen
from vqclip_nb.cutouts.geometry import affine, inverse, perspective
from vqclip_nb.cutouts.spec import CutoutSpec
from vqclip_nb.rng import Draws


def vary(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """Augment views by each letter of `spec.augments` in turn, then add noise; `none` adds only noise."""
    for index, letter in enumerate(augments.parse(spec.augments)):
        views = LETTERS[letter](views, draws.of(f"{index}{letter}"), spec)
    return views + Chances(Augment(0, 0, 0, 0, 0, 0, 0), draws, spec).noise().to(views)


def _jitter(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """ColorJitter(.1, .1, .1, .1, p .7) as in kornia 0.5: brightness is added, contrast and saturation are factors."""
    gate, *numbers = _numbers(draws, spec, 5, views)
    bright, contrast, saturation, hue = (0.1 * (2 * number - 1) * (gate < 0.7) for number in numbers)
    views = (views + bright[:, None, None, None]).clamp(0, 1)
    views = (views * (1 + contrast)[:, None, None, None]).clamp(0, 1)
    return recolour(views, hue=hue, saturation=1 + saturation)


def _sharpness(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    gate, factor = _numbers(draws, spec, 2, views)
    return sharpen(views, torch.where(gate < 0.5, 0.3 * factor, 1.0))


def _noise(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    (gate,) = _numbers(draws, spec, 1, views)
    grain = draws.normal("grain", (spec.cutn, *views.shape[1:])).flatten(0, 1).to(views)
    return views + grain * (gate < 0.5)[:, None, None, None]


def _perspective(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    gate, *inwards = draws.uniform("numbers", (spec.cutn, 9)).flatten(0, 1).unbind(1)
    corners = torch.stack(inwards, 1).unflatten(1, (4, 2)) * 0.35 * (gate < 0.7)[:, None, None]
    return warp(views, perspective(corners, spec.cut_size))


def _rotation(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    gate, angle = draws.uniform("numbers", (spec.cutn, 2)).flatten(0, 1).unbind(1)
    turn = math.radians(15) * (2 * angle - 1) * (gate < 0.7)
    return warp(views, affine(turn, torch.zeros_like(turn), torch.ones_like(turn), spec.cut_size))


def _affine(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """Affine(15 degrees, translate .1, shear 5, p .7): rotation, shift up or down, then shear sideways, on black."""
    gate, angle, shift, shear = draws.uniform("numbers", (spec.cutn, 4)).flatten(0, 1).unbind(1)
    angle, shift, shear = ((2 * each - 1) * (gate < 0.7) for each in (angle, shift, shear))
    rotation = affine(angle * math.radians(15), shift * 0.1 * spec.cut_size, torch.ones_like(angle), spec.cut_size)
    lean = torch.eye(3).repeat(len(shear), 1, 1)
    lean[:, 0, 1] = (shear * math.radians(5)).tan()
    lean[:, 0, 2] = -lean[:, 0, 1] * (spec.cut_size - 1) / 2
    return warp(views, lean @ rotation)


def _elastic(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """ElasticTransform(p .7): kernel 63, sigma 32, alpha 1."""
    from kornia.geometry.transform import elastic_transform2d

    (gate,) = _numbers(draws, spec, 1, views)
    field = draws.uniform("field", (spec.cutn, 2, *views.shape[2:])).flatten(0, 1).to(views)
    result = elastic_transform2d(views, 2 * field - 1, kernel_size=(63, 63), sigma=(32.0, 32.0), alpha=(1.0, 1.0))
    return torch.where((gate < 0.7)[:, None, None, None], result, views)


def _spline(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """ThinPlateSpline(.8, p .7), the same for all views of a picture."""
    from kornia.geometry.transform import get_tps_transform, warp_image_tps

    gate, *shift = draws.uniform("spline", (11,)).repeat_interleave(spec.cutn, 0).to(views).unbind(1)
    points = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]).to(views)
    points = points.expand(len(views), -1, -1).contiguous()
    targets = points + 0.8 * (2 * torch.stack(shift, 1).unflatten(1, (5, 2)) - 1)
    result = warp_image_tps(views, points, *get_tps_transform(targets, points))
    return torch.where((gate < 0.7)[:, None, None, None], result, views)


def _as_it_is(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """RandomCrop(cut_size): no effect, since views have this size already."""
    return views


def _erasing(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """Erasing((.1, .4), (.3, 1/.3), p .7), the same rectangle in all views of a picture."""
    return views * Chances(POOLING_AUGMENT, draws, spec).kept_area(views)


def _resize_crop(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    """RandomResizedCrop(area .1 to 1, ratio .75 to 1.333, p .5)."""
    gate, area, ratio, left, top = draws.uniform("numbers", (spec.cutn, 5)).flatten(0, 1).unbind(1)
    area, ratio = 0.1 + 0.9 * area, torch.exp(math.log(0.75) + (math.log(1.333) - math.log(0.75)) * ratio)
    wide, tall = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    wide, tall = (torch.where(gate < 0.5, each, 1.0) for each in (wide, tall))
    back = torch.zeros(len(gate), 3, 3)
    back[:, 0, 0], back[:, 1, 1], back[:, 2, 2] = wide, tall, 1.0
    for axis, (share, position) in enumerate(((wide, left), (tall, top))):
        back[:, axis, 2] = (share - 1) / 2 + position * (1 - share) * spec.cut_size  # centres of pixels
    return warp(views, inverse(back), padding="border")


def _flip(views: Tensor, draws: Draws, spec: CutoutSpec) -> Tensor:
    (gate,) = _numbers(draws, spec, 1, views)
    return torch.where((gate < 0.5)[:, None, None, None], views.flip(-1), views)


LETTERS: dict[str, Callable[[Tensor, Draws, CutoutSpec], Tensor]] = {
    "Hf": _flip,
    "Ji": _jitter,
    "Sh": _sharpness,
    "Gn": _noise,
    "Pe": _perspective,
    "Ro": _rotation,
    "Af": _affine,
    "Et": _elastic,
    "Ts": _spline,
    "Cr": _as_it_is,
    "Er": _erasing,
    "Re": _resize_crop,
}


def warp(views: Tensor, matrices: Tensor, padding: str = "zeros") -> Tensor:
    """Warp views by matrices from old to new pixels, (m, 3, 3), bilinear: (m, 3, s, s) -> the same."""
    size = views.shape[-1]
    axis = torch.arange(size, dtype=torch.float32)
    pixels = torch.stack([*torch.meshgrid(axis, axis, indexing="xy"), torch.ones(size, size)], -1)
    source = torch.einsum("mij,yxj->myxi", inverse(matrices), pixels)
    grid = (2 * source[..., :2] / source[..., 2:] + 1) / size - 1
    return F.grid_sample(views, grid.to(views), padding_mode=padding, align_corners=False)


def _numbers(draws: Draws, spec: CutoutSpec, count: int, views: Tensor) -> tuple[Tensor, ...]:
    """`count` uniform numbers of each view, (n * cutn,) each."""
    return draws.uniform("numbers", (spec.cutn, count)).flatten(0, 1).to(views).unbind(1)
