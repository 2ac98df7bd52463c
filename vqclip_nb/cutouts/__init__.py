"""Cutouts: the many views of one picture that a perceptor sees.

They are pure functions of (image, draws, progress): the same draws give the same views. All views of all pictures are
made at once; those of one picture are adjacent in the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vqclip_nb.cutouts import crop_methods, letters, methods
from vqclip_nb.cutouts.spec import CutoutSpec
from vqclip_nb.rng import Draws

__all__ = ["METHODS", "CutoutSpec", "Cutouts", "Method"]

Cut = Callable[[Tensor, Draws, CutoutSpec, float], Tensor]


@dataclass(frozen=True)
class Method:
    """plain: the views without augmentation. varied: with the method's own augmentation, or None if it has none."""

    plain: Cut
    varied: Cut | None = None


METHODS = {
    "pooling": Method(methods.pool_copies, methods.pooling),
    "pooling-published": Method(methods.pool_copies, methods.pooling_published),
    "crops": Method(methods.random_crops, methods.crops),
    "updated": Method(methods.random_crops, methods.crops),  # the name of crops in nerdyrodent's generate.py
    "original": Method(methods.random_crops),
    "gaussian": Method(crop_methods.gaussian_crops, crop_methods.gaussian),
    "pytti": Method(crop_methods.border_crops, crop_methods.pytti),
    "uniform": Method(crop_methods.uniform),
    "uniform-rising": Method(crop_methods.uniform_rising),
    "uniform-centre": Method(crop_methods.uniform_centre),
    "normal": Method(crop_methods.normal),
    "normal-centre": Method(crop_methods.normal_centre),
    "overview": Method(crop_methods.overview),
}


@dataclass(frozen=True)
class Cutouts(CutoutSpec):
    """Makes the views of pictures, by the method `name` of METHODS."""

    def __call__(self, image: Tensor, draws: Draws, progress: float = 0.0) -> Tensor:
        """(n, 3, H, W) RGB in [0, 1] -> (n * cutn, 3, cut, cut), in [0, 1] but for added noise."""
        method = METHODS[self.name]
        if self.augments:
            return letters.vary(method.plain(image, draws, self, progress), draws, self)
        return (method.varied or method.plain)(image, draws, self, progress)
