"""The main cutout methods: each is a pure function of (image, draws, spec, progress)."""

import torch.nn.functional as F
from torch import Tensor

from vqclip_nb import gpu
from vqclip_nb.cutouts.augment import CROPS_AUGMENT, POOLING_AUGMENT, Chances, augment_views, recolour
from vqclip_nb.cutouts.geometry import lanczos
from vqclip_nb.cutouts.spec import CutoutSpec
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.rng import Draws


def pool_copies(image: Tensor, draws: Draws, cutouts: CutoutSpec, progress: float = 0.0) -> Tensor:
    """The whole picture pooled once, each view a copy."""
    return copies(pool(image, cutouts.cut_size), cutouts.cutn)


def pooling(image: Tensor, draws: Draws, cutouts: CutoutSpec, progress: float = 0.0) -> Tensor:
    """The whole picture pooled once; each copy is augmented with affine map and perspective in one resampling.

    It differs from `pooling_published` only in that: one resampling instead of two is a little sharper.
    """
    chances = Chances(POOLING_AUGMENT, draws, cutouts)
    if gpu.usable(image):
        from vqclip_nb.gpu import cutout_kernels

        numbers = cuda_graphs.to_device(chances.numbers(), image.device)
        return cutout_kernels.augment_views(
            cutout_kernels.pool_image(image, cutouts.cut_size), numbers, chances.grain()
        )
    return augment_views(pool_copies(image, draws, cutouts), chances)


def pooling_published(image: Tensor, draws: Draws, cutouts: CutoutSpec, progress: float = 0.0) -> Tensor:
    """The pooling method as published, one operation after the other, with kornia's functions.

    Perspective uncovers black, affine maps repeat the border (kornia 0.5.4's RandomAffine(15, .1),
    RandomPerspective(.7), ColorJitter(hue=.1, saturation=.1), RandomErasing((.1, .4), (.3, 1/.3)), each with p .7).
    """
    from kornia.geometry.transform import warp_affine, warp_perspective

    chances, size = Chances(POOLING_AUGMENT, draws, cutouts), (cutouts.cut_size, cutouts.cut_size)
    views = pool_copies(image, draws, cutouts)
    affine, perspective = (matrix.to(views) for matrix in (chances.affine, chances.perspective))
    views = warp_affine(views, affine[:, :2], size, padding_mode="border", align_corners=False)
    views = warp_perspective(views, perspective, size, align_corners=False)
    views = recolour(views, hue=chances.hue.to(views), saturation=chances.saturation.to(views))
    return views * chances.kept_area(views) + chances.noise().to(views)


def random_crops(image: Tensor, draws: Draws, cutouts: CutoutSpec, progress: float = 0.0) -> Tensor:
    """Random square crops of side U^cut_pow between cut_size and the picture's shorter side (Crowson, 2021).

    The published crops are low-passed and resized one by one; here each is two matrix products with a Lanczos kernel
    (a = 2), the same cut-off, renormalised at the picture's border.
    """
    height, width = image.shape[-2:]
    numbers = cuda_graphs.to_device(draws.uniform("crop", (cutouts.cutn, 3)).flatten(0, 1), image.device)
    side, left, top = numbers.unbind(1)  # (n * cutn,) each
    most = min(height, width)
    least = min(most, cutouts.cut_size)
    side = (side**cutouts.cut_pow * (most - least) + least).floor()
    rows = lanczos((top * (height - side + 1)).floor(), side, height, cutouts.cut_size).to(image)
    columns = lanczos((left * (width - side + 1)).floor(), side, width, cutouts.cut_size).to(image)
    rows, columns = (weights.unflatten(0, (-1, 1, cutouts.cutn)) for weights in (rows, columns))
    views = rows @ image[:, :, None] @ columns.mT  # (n, 3, cutn, cut, cut)
    return views.transpose(1, 2).flatten(0, 1).clamp(0, 1)


def crops(image: Tensor, draws: Draws, cutouts: CutoutSpec, progress: float = 0.0) -> Tensor:
    """Random crops, augmented."""
    return augment_views(random_crops(image, draws, cutouts), Chances(CROPS_AUGMENT, draws, cutouts))


def pool(image: Tensor, size: int) -> Tensor:
    """Half average, half maximum of each cell of a size x size grid: (n, 3, H, W) -> (n, 3, size, size)."""
    return (F.adaptive_avg_pool2d(image, size) + F.adaptive_max_pool2d(image, size)) / 2


def copies(image: Tensor, count: int) -> Tensor:
    """(n, ...) -> (n * count, ...), each picture's copies together."""
    return image[:, None].expand(-1, count, *image.shape[1:]).flatten(0, 1)
