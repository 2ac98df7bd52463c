"""Cutouts: the many views of one picture that a perceptor is shown.

Pure functions of (image, draws, progress): the same draws give the same views. All views of all pictures are made at
once, picture by picture in the batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip_nb import gpu
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.rng import Draws


@dataclass(frozen=True)
class Augment:
    """How views are varied, with the chance (`_p`) that each change is made to a view.

    The numbers are those of the 2021 notebooks. Angles in degrees; shift, distortion and area as shares of the side.
    A picture's views share one erased rectangle.
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


@dataclass(frozen=True)
class Cutouts:
    """`cutn` views of each picture, `cut_size` pixels square, by the method of this name in METHODS."""

    name: str
    cut_size: int
    cutn: int
    cut_pow: float = 1.0

    def __call__(self, image: Tensor, draws: Draws, progress: float = 0.0) -> Tensor:
        """(n, 3, H, W) RGB in [0, 1] -> (n * cutn, 3, cut, cut), about [0, 1] with noise upon it."""
        return METHODS[self.name](image, draws, self)


def pooling(image: Tensor, draws: Draws, cutouts: Cutouts) -> Tensor:
    """The whole picture pooled once, each copy varied by one resampling that joins affine map and perspective.

    Differs from `pooling_published` only in what joining the two resamplings changes: it is a little sharper.
    """
    chances = _Chances(POOLING_AUGMENT, draws, cutouts)
    if gpu.usable(image):
        from vqclip_nb.gpu import cutout_kernels

        numbers = cuda_graphs.to_device(chances.numbers(), image.device)
        return cutout_kernels.varied(cutout_kernels.pooled(image, cutouts.cut_size), numbers, chances.grain())
    return _varied(_copies(_pool(image, cutouts.cut_size), cutouts.cutn), chances)


def pooling_published(image: Tensor, draws: Draws, cutouts: Cutouts) -> Tensor:
    """The pooling recipe as published, one operation after the other, by kornia's functions.

    Perspective leaves black where it uncovers, affine maps repeat the border (kornia 0.5.4's RandomAffine(15, .1),
    RandomPerspective(.7), ColorJitter(hue=.1, saturation=.1), RandomErasing((.1, .4), (.3, 1/.3)), each with p .7).
    """
    from kornia.geometry.transform import warp_affine, warp_perspective

    chances, size = _Chances(POOLING_AUGMENT, draws, cutouts), (cutouts.cut_size, cutouts.cut_size)
    views = _copies(_pool(image, cutouts.cut_size), cutouts.cutn)
    affine, perspective = (matrix.to(views) for matrix in (chances.affine, chances.perspective))
    views = warp_affine(views, affine[:, :2], size, padding_mode="border", align_corners=False)
    views = warp_perspective(views, perspective, size, align_corners=False)
    views = _recoloured(views, hue=chances.hue.to(views), saturation=chances.saturation.to(views))
    return views * chances.kept_area(views) + chances.noise().to(views)


def crops(image: Tensor, draws: Draws, cutouts: Cutouts) -> Tensor:
    """Random square crops of side U^cut_pow between cut_size and the picture's shorter side (Crowson, 2021), varied.

    The published crops are low-passed and resized one by one; here each is two matrix products with a Lanczos kernel
    (a = 2), the same cut-off, renormalised at the picture's border.
    """
    height, width = image.shape[-2:]
    drawn = cuda_graphs.to_device(draws.uniform("crop", (cutouts.cutn, 3)).flatten(0, 1), image.device)
    side, left, top = drawn.unbind(1)  # (n * cutn,) each
    most = min(height, width)
    least = min(most, cutouts.cut_size)
    side = (side**cutouts.cut_pow * (most - least) + least).floor()
    rows = _resize_weights((top * (height - side + 1)).floor(), side, height, cutouts.cut_size).to(image)
    columns = _resize_weights((left * (width - side + 1)).floor(), side, width, cutouts.cut_size).to(image)
    rows, columns = (weights.unflatten(0, (-1, 1, cutouts.cutn)) for weights in (rows, columns))
    views = rows @ image[:, :, None] @ columns.mT  # (n, 3, cutn, cut, cut)
    views = views.transpose(1, 2).flatten(0, 1).clamp(0, 1)
    return _varied(views, _Chances(CROPS_AUGMENT, draws, cutouts))


METHODS: dict[str, Callable[[Tensor, Draws, Cutouts], Tensor]] = {
    "pooling": pooling,
    "pooling-published": pooling_published,
    "crops": crops,
}


class _Chances:
    """What was drawn for every view: small tensors on the CPU, n * cutn long, neutral where the gate stayed shut."""

    def __init__(self, augment: Augment, draws: Draws, cutouts: Cutouts) -> None:
        self.augment, self.draws, self.cutouts = augment, draws, cutouts
        drawn = draws.uniform("augment", (cutouts.cutn, 19)).flatten(0, 1)  # (n * cutn, 19)
        gates, values = drawn[:, :5], drawn[:, 5:]
        span = 2 * values - 1  # in [-1, 1)

        moved = (gates[:, 0] < augment.affine_p).float()
        angle = moved * span[:, 0] * math.radians(augment.degrees)
        shift = moved * span[:, 1] * augment.shift * cutouts.cut_size
        flip = 1 - 2 * (gates[:, 3] < augment.flip_p).float()
        self.affine = _affine(angle, shift, flip, cutouts.cut_size)  # (n * cutn, 3, 3), from source to view
        bent = (gates[:, 1] < augment.perspective_p).float()[:, None, None]
        inwards = bent * augment.distortion / 2 * values[:, 2:10].unflatten(1, (4, 2))
        self.perspective = _perspective(inwards, cutouts.cut_size)  # (n * cutn, 3, 3), from source to view
        coloured = (gates[:, 2] < augment.colour_p).float()
        self.hue = coloured * span[:, 10] * augment.hue  # in turns
        self.saturation = 1 + coloured * span[:, 11] * augment.saturation
        self.sharpness = torch.where(gates[:, 4] < augment.sharpness_p, values[:, 12] * augment.sharpness, 1.0)
        self.noise_level = values[:, 13] * augment.noise

    def erased(self) -> Tensor:
        """The rectangle erased from all views of a picture: top, left, height, width in pixels, (n, 4)."""
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
        """1 where a view stays, 0 in the rectangle that is erased: (n * cutn, 1, cut, cut)."""
        place = torch.arange(self.cutouts.cut_size)
        top, left, height, width = self.erased().unbind(1)
        in_row = (place >= top[:, None]) & (place < (top + height)[:, None])  # (n, cut)
        in_column = (place >= left[:, None]) & (place < (left + width)[:, None])
        erased = in_row[:, :, None] & in_column[:, None, :]
        return (~erased)[:, None].to(like).repeat_interleave(self.cutouts.cutn, 0)

    def grain(self) -> Tensor:
        """Normal numbers for each view, (n * cutn, 3, cut, cut), on the draws' device."""
        size = self.cutouts.cut_size
        return self.draws.normal("noise", (self.cutouts.cutn, 3, size, size)).flatten(0, 1)

    def noise(self) -> Tensor:
        """U(0, noise) * randn for each view, (n * cutn, 3, cut, cut), on the draws' device."""
        grain = self.grain()
        return grain * self.noise_level.to(grain)[:, None, None, None]

    def numbers(self) -> Tensor:
        """All but the grain, as `gpu.views` wants it."""
        maps = (_inverse(self.perspective).flatten(1), _inverse(self.affine)[:, :2].flatten(1))
        single = torch.stack([self.hue, self.saturation, self.noise_level], 1)
        return torch.cat([*maps, single, self.erased().repeat_interleave(self.cutouts.cutn, 0)], 1)


def _varied(views: Tensor, chances: _Chances) -> Tensor:
    """Views moved, coloured, erased and made noisy: (m, 3, cut, cut) -> the same."""
    views = _warp(views, chances.affine, chances.perspective)
    if chances.augment.sharpness_p:
        views = _sharpened(views, chances.sharpness.to(views))
    views = _recoloured(views, hue=chances.hue.to(views), saturation=chances.saturation.to(views))
    if chances.augment.erase_p:
        views = views * chances.kept_area(views)
    return views + chances.noise().to(views)


def _pool(image: Tensor, size: int) -> Tensor:
    """Half average, half maximum of each cell of a size x size grid: (n, 3, H, W) -> (n, 3, size, size)."""
    return (F.adaptive_avg_pool2d(image, size) + F.adaptive_max_pool2d(image, size)) / 2


def _copies(image: Tensor, count: int) -> Tensor:
    """(n, ...) -> (n * count, ...), each picture's copies together."""
    return image[:, None].expand(-1, count, *image.shape[1:]).flatten(0, 1)


def _affine(angle: Tensor, shift: Tensor, flip: Tensor, size: int) -> Tensor:
    """Mirrored (-1), turned by radians about the middle, shifted down by pixels: (m,) each -> (m, 3, 3).

    kornia read the published `translate=0.1` as (0, 0.1) sideways: no shift to the side, and U(-.1, .1) up or down.
    """
    cos, sin, one, none = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    middle = (size - 1) / 2
    rows = [
        [cos * flip, sin, middle - middle * (cos * flip + sin)],
        [-sin * flip, cos, middle - middle * (cos - sin * flip) + shift],
        [none, none, one],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _perspective(inwards: Tensor, size: int) -> Tensor:
    """The map that moves each corner inwards by a share of the side: (m, 4 corners, x and y) -> (m, 3, 3).

    From a square to a quadrilateral, by Heckbert's formulas (1989).
    """
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64) * (size - 1)
    towards = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)
    one, two, three, four = (corners + towards * inwards.double() * size).unbind(1)  # (m, 2) each
    across, down, rest = two - three, four - three, one - two + three - four
    area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    g = (rest[:, 0] * down[:, 1] - rest[:, 1] * down[:, 0]) / area
    h = (across[:, 0] * rest[:, 1] - across[:, 1] * rest[:, 0]) / area
    columns = [(two - one + g[:, None] * two) / (size - 1), (four - one + h[:, None] * four) / (size - 1), one]
    last = torch.stack([g / (size - 1), h / (size - 1), torch.ones_like(g)], -1)[:, None]
    return torch.cat([torch.stack(columns, -1), last], 1).float()


def _inverse(maps: Tensor) -> Tensor:
    """(m, 3, 3), by cofactors: LAPACK takes milliseconds for a few of them."""
    first, second, third = maps.double().unbind(-2)
    cofactors = [torch.linalg.cross(*pair) for pair in ((second, third), (third, first), (first, second))]
    determinant = (first * cofactors[0]).sum(-1)[:, None, None]
    return (torch.stack(cofactors, -1) / determinant).float()


def _warp(views: Tensor, affine: Tensor, perspective: Tensor) -> Tensor:
    """Both maps in one bilinear resampling; the affine one repeats the border, the other uncovers black."""
    size = views.shape[-1]
    place = torch.arange(size, dtype=torch.float32)
    ahead = torch.stack([*torch.meshgrid(place, place, indexing="xy"), torch.ones(size, size)], -1)  # (cut, cut, 3)
    back = _inverse(perspective).to(views)
    between = torch.einsum("mij,yxj->myxi", back, ahead.to(views))
    between = between[..., :2] / between[..., 2:]  # where each pixel lies before the perspective
    inside = (between + 1).clamp(0, 1) * (size - between).clamp(0, 1)  # fades over the last pixel, as bilinear zeros do
    turn = _inverse(affine).to(views)
    source = torch.einsum("mij,myxj->myxi", turn[:, :2, :2], between.clamp(-size, 2 * size))
    grid = (2 * (source + turn[:, None, None, :2, 2]) + 1) / size - 1
    warped = F.grid_sample(views, grid, padding_mode="border", align_corners=False)
    return warped * inside.prod(-1)[:, None]


def _recoloured(views: Tensor, *, hue: Tensor, saturation: Tensor) -> Tensor:
    """Saturation multiplied and hue turned (in turns), as in HSV: (m, 3, h, w) in [0, 1] -> the same.

    Each channel is value - chroma * ramp, the ramp a trapeze over the hue, in sixths of a turn.
    """
    red, green, blue = views.unbind(1)  # (m, h, w) each
    value = views.amax(1)
    chroma = value - views.amin(1)
    first, second = red == value, green == value
    apart = torch.where(first, green - blue, torch.where(second, blue - red, red - green))
    start = torch.where(first, 0.0, torch.where(second, 2.0, 4.0)) + 6 * hue[:, None, None]
    sixths = start + apart / chroma.clamp(min=1e-8)
    away = sixths[:, None] + torch.tensor([3.0, 1.0, -1.0]).to(views)[:, None, None]  # (m, 3, h, w)
    ramp = (2 - (away - 6 * (away / 6).round()).abs()).clamp(0, 1)
    chroma = torch.minimum(chroma * saturation[:, None, None], value)
    return torch.addcmul(value[:, None], chroma[:, None], ramp, value=-1)


def _sharpened(views: Tensor, factor: Tensor) -> Tensor:
    """PIL's sharpness: 1 leaves a view as it is, 0 is a smoothed one: (m, 3, h, w) and (m,) -> (m, 3, h, w)."""
    from kornia.enhance import sharpness

    return sharpness(views.clamp(0, 1), factor)


def _resize_weights(start: Tensor, side: Tensor, length: int, size: int) -> Tensor:
    """Rows that resize [start, start + side) of a line of `length` pixels to `size`: (m,) each -> (m, size, length)."""
    scale = (side / size)[:, None, None]
    middles = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale  # (m, size, 1)
    away = (torch.arange(length, device=start.device) + 0.5 - middles) / scale.clamp(min=1)  # (m, size, length)
    weights = torch.where(away.abs() < 2, torch.sinc(away) * torch.sinc(away / 2), 0.0)  # Lanczos, a = 2
    return weights / weights.sum(-1, keepdim=True)
