"""Crops as in other tools: Big Sleep, Deep Daze, pytti, Disco Diffusion and the MSE notebook.

The side and position of each view are random. A crop is two matrix products with a resampling kernel.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb.cutouts.augment import CROPS_AUGMENT, Augment, Chances, augment_views
from vqclip_nb.cutouts.geometry import KERNELS, Kernel, lanczos
from vqclip_nb.cutouts.spec import CutoutSpec
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.rng import Draws

GAUSSIAN_AUGMENT = replace(CROPS_AUGMENT, sharpness_p=0.0)
PYTTI_AUGMENT = replace(CROPS_AUGMENT, sharpness_p=0.0, flip_p=0.3, erase_p=0.7)
_UNIFORM = (0.1, 1.0)  # Deep Daze's bounds of a crop's side, as shares of the picture
_BORDER = 0.25  # how far pytti's crops may exceed the edge, as a share of the shorter side


def cut(image: Tensor, side: Tensor, top: Tensor, left: Tensor, size: int, kernel: Kernel = lanczos) -> Tensor:
    """Cut squares and resize them: (n, 3, H, W) and (n * cutn,) each, in pixels -> (n * cutn, 3, size, size)."""
    count = len(side) // len(image)
    rows, columns = (
        kernel(start, side, length, size).to(image).unflatten(0, (-1, 1, count))
        for start, length in zip((top, left), image.shape[-2:], strict=True)
    )
    return (rows @ image[:, :, None] @ columns.mT).transpose(1, 2).flatten(0, 1)


def uniform(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float) -> Tensor:
    """Deep Daze's crops: sides uniform from a tenth of the picture to all of it, bilinear."""
    return _between(image, draws, spec)


def uniform_rising(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float) -> Tensor:
    """Deep Daze's `saturate_bound`: the smallest side rises from a tenth of the picture to .75 over the run."""
    low, high = spec.sizes or _UNIFORM
    least = min(max(low, low + (0.75 - low) * progress), high)
    return _between(image, draws, replace(spec, sizes=(least, high)))


def uniform_centre(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float) -> Tensor:
    """Deep Daze's `center_bias`: like `uniform`, but mostly in the middle."""
    return _between(image, draws, spec, centre=True)


def normal(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float) -> Tensor:
    """Big Sleep's crops: sides N(.8, .3) of the picture, clamped to [.5, .95], resized by nearest pixels."""
    return _about(image, draws, spec)


def normal_centre(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float) -> Tensor:
    """Big Sleep's `center_bias`: like `normal`, but mostly in the middle."""
    return _about(image, draws, spec, centre=True)


def gaussian_crops(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float = 0.0) -> Tensor:
    """The MSE notebook's crops (jbusted1, 2021): sides N(.8, .3) of the shorter side, not below cut_size."""
    numbers = _uniform_numbers(draws, spec, image)
    most = min(image.shape[-2:])
    share = _normal(numbers[:, 0]).mul(0.3).add(0.8).clamp(min(spec.cut_size / most, 1), 1)
    side = (share * most).floor()
    return cut(image, side, *_corner(image, side, numbers), spec.cut_size).clamp(0, 1)


def gaussian(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float = 0.0) -> Tensor:
    """The MSE notebook's crops, augmented."""
    return _vary(gaussian_crops(image, draws, spec), GAUSSIAN_AUGMENT, draws, spec)


def border_crops(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float = 0.0) -> Tensor:
    """pytti's crops: sides N(.8, .3) ^ cut_pow of the shorter side, from a picture padded by a quarter."""
    numbers = _uniform_numbers(draws, spec, image)
    most = min(image.shape[-2:])
    share = _normal(numbers[:, 0]).mul(0.3).add(0.8).clamp(0, 1) ** spec.cut_pow
    side = (share * most).floor().clamp(min=min(spec.cut_size, most))
    padded = F.pad(image, [int(_BORDER * most)] * 4, mode="replicate")
    return cut(padded, side, *_corner(padded, side, numbers), spec.cut_size, KERNELS["area"])


def pytti(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float = 0.0) -> Tensor:
    """pytti's crops, augmented; one rectangle is erased in all views of a picture (pytti: one in each view)."""
    return _vary(border_crops(image, draws, spec), PYTTI_AUGMENT, draws, spec)


def overview(image: Tensor, draws: Draws, spec: CutoutSpec, progress: float) -> Tensor:
    """Disco Diffusion's views: overviews of the whole picture, and random crops, without augmentation.

    In the first 40 % of the run three quarters are overviews, later one quarter: plain, grey, mirrored and both, in
    turn. A fifth of the crops is grey in the first 40 %.
    """
    height, width = image.shape[-2:]
    early = progress < 0.4
    wide = min(spec.cutn, max(1, round(spec.cutn * (0.75 if early else 0.25))))
    longer = max(height, width)
    margins = [(longer - width) // 2, longer - width - (longer - width) // 2]
    margins += [(longer - height) // 2, longer - height - (longer - height) // 2]
    zero = torch.zeros(len(image), device=image.device)
    whole = cut(F.pad(image, margins), zero + longer, zero, zero, spec.cut_size)
    kinds = [whole, _grey(whole), whole.flip(-1), _grey(whole).flip(-1)]
    views = [torch.stack([kinds[index % 4] for index in range(wide)], 1)]
    if rest := spec.cutn - wide:
        numbers = _uniform_numbers(draws, replace(spec, cutn=rest), image)
        most = min(height, width)
        least = min(most, spec.cut_size)
        side = (numbers[:, 0] ** spec.cut_pow * (most - least) + least).floor()
        inner = cut(image, side, *_corner(image, side, numbers), spec.cut_size)
        grey = (numbers[:, 3] < (0.2 if early else 0.0))[:, None, None, None]
        views.append(torch.where(grey, _grey(inner), inner).unflatten(0, (len(image), rest)))
    return torch.cat(views, 1).flatten(0, 1).clamp(0, 1)


def _between(image: Tensor, draws: Draws, spec: CutoutSpec, centre: bool = False) -> Tensor:
    """Crops with sides uniform in [int(low * shorter side), int(high * shorter side)), bilinear."""
    numbers, most = _uniform_numbers(draws, spec, image), min(image.shape[-2:])
    low, high = spec.sizes or _UNIFORM
    least = max(1, int(low * most))
    side = (least + numbers[:, 0] * (int(high * most) - least)).floor().clamp(min=1)
    return cut(image, side, *_corner(image, side, numbers, centre=centre), spec.cut_size, KERNELS["bilinear"])


def _about(image: Tensor, draws: Draws, spec: CutoutSpec, centre: bool = False) -> Tensor:
    numbers, most = _uniform_numbers(draws, spec, image), min(image.shape[-2:])
    low, high = spec.sizes or (0.5, 0.95)
    side = (most * _normal(numbers[:, 0]).mul(0.3).add(0.8).clamp(low, high)).floor().clamp(min=1)
    return cut(image, side, *_corner(image, side, numbers, centre=centre), spec.cut_size, KERNELS["nearest"])


def _corner(image: Tensor, side: Tensor, numbers: Tensor, *, centre: bool = False) -> tuple[Tensor, Tensor]:
    """Top and left of each view, in pixels: uniform, or with `centre` normal about the middle if within the picture."""
    corner = []
    for axis, length in enumerate(image.shape[-2:], 1):
        room = length - side
        start = (numbers[:, axis] * (room + 1)).floor()
        if centre:  # the mean is the middle, and so is twice the standard deviation
            middle = room / 2
            near = (_normal(numbers[:, 3 + axis]) * middle / 2 + middle).floor()
            start = torch.where((near >= 0) & (near <= room), near, start)
        corner.append(start)
    return corner[0], corner[1]


def _uniform_numbers(draws: Draws, spec: CutoutSpec, image: Tensor) -> Tensor:
    """Six uniform numbers for each view, (n * cutn, 6), on the picture's device: side, position, gate, position."""
    return cuda_graphs.to_device(draws.uniform("crop", (spec.cutn, 6)).flatten(0, 1), image.device)


def _normal(uniform: Tensor) -> Tensor:
    """Normal numbers from uniform ones in [0, 1), within 5 standard deviations."""
    return (2 * uniform - 1).erfinv().mul(2**0.5).clamp(-5, 5)


def _vary(views: Tensor, augment: Augment, draws: Draws, spec: CutoutSpec) -> Tensor:
    return augment_views(views, Chances(augment, draws, spec))


def _grey(views: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114]).to(views)
    return torch.einsum("c,mchw->mhw", weights, views)[:, None].expand_as(views)
