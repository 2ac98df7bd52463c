"""The BigGAN canvas: latents and classes of a frozen generator (Brock et al., 2019; Big Sleep, 2021)."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vqclip_nb.canvases.base import Canvas
from vqclip_nb.canvases.biggan import SPEC, BigGANOptions
from vqclip_nb.gpu.cuda_graphs import replay
from vqclip_nb.gradients import straight_through
from vqclip_nb.optimizers import Optimizer
from vqclip_nb.rng import Draws, generator

_CLASS_MEAN, _CLASS_STD = -3.9, 0.3  # of the initial logits, as in Big Sleep
_FIT_STEPS = 200


class BigGANCanvas(Canvas):
    """A latent and class logits for the generator's first layer and for each block, (n, latents, ...).

    `biggan` has `latents`, `z_dim`, `num_classes`, `side`, `condition` and `decode`; its pictures are square, in
    [-1, 1]. It is frozen. A size other than `side` is resampled from it.
    """

    lr = SPEC.lr
    cuts_off = True

    def __init__(
        self, biggan: Any, *, size: tuple[int, int], seeds: Sequence[int], options: BigGANOptions | None = None
    ) -> None:
        super().__init__()
        self.biggan = biggan.requires_grad_(False).eval()
        self.size = size
        self.options: BigGANOptions = options or BigGANOptions()
        biggan.choose_statistics(self.options.truncation, self.options.statistics)
        draw = [generator(seed, 0, "latents") for seed in seeds]
        z = [torch.randn(biggan.latents, biggan.z_dim, generator=each) for each in draw]
        logits = [torch.randn(biggan.latents, biggan.num_classes, generator=each) for each in draw]
        self.z = nn.Parameter(torch.stack(z))  # (n, latents, z_dim)
        self.logits = nn.Parameter(_CLASS_MEAN + _CLASS_STD * torch.stack(logits))  # (n, latents, classes)

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: BigGANOptions) -> Self:
        from vqclip_nb import models

        return cls(models.load_biggan(model), size=size, seeds=seeds, options=options)

    def forward(self) -> Tensor:
        condition = self.biggan.condition(self.z, self.classes())
        with self.precision.rendering(condition.device):
            image = self.biggan.decode(condition) if self.thrifty else replay(self.biggan.decode, condition)
        image = self.bounded((image.float() + 1) / 2)
        width, height = self.size
        if image.shape[-2:] == (height, width):
            return image
        return F.interpolate(image, (height, width), mode="bilinear", antialias=True).clamp(0, 1)

    def classes(self) -> Tensor:
        """The share of each class in each layer, (n, latents, classes), in [0, 1]."""
        if self.options.gumbel:
            return one_class(self.logits, self.options.class_temperature, self.draws)
        if self.options.max_classes is None:
            return self.logits.sigmoid()
        return largest(self.logits, self.options.max_classes, self.options.class_temperature)

    def penalties(self, progress: float) -> dict[str, Tensor]:
        """Big Sleep's losses: latents like standard normal numbers, and one class per layer."""
        if not (weight := self.options.penalty):
            return {}
        few = self.classes().topk(self.biggan.num_classes - 1, dim=-1, largest=False).values
        return {"latents": weight * abnormality(self.z), "classes": weight * (50 * few).square().mean((1, 2))}

    def start_from(self, image: Tensor) -> None:
        """Fit latents and classes to the picture by 200 steps of Adam; the generator cannot match every picture."""
        width, height = self.size
        target = F.interpolate(image, (height, width), mode="bilinear", antialias=True)
        optimizer = Optimizer("adam", self.learnable())
        valid = torch.ones(len(self.z), dtype=torch.bool, device=self.z.device)
        with torch.enable_grad():
            for step in range(_FIT_STEPS):
                (self() - target).square().mean((1, 2, 3)).sum().backward()
                optimizer.step(self.lr * (1 + math.cos(math.pi * step / _FIT_STEPS)) / 2, valid)

    def save_memory(self) -> bool:
        """Compute each layer of the generator again in the backward pass (Chen et al., 2016)."""
        layers = getattr(self.biggan, "layers", ())
        if self.thrifty or not layers:
            return False
        for layer in layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
        self.thrifty = True
        return True


def abnormality(z: Tensor) -> Tensor:
    """The deviation of latents from normal numbers: (n, latents, z_dim) -> (n,). Big Sleep's loss on latents.

    |1 - std| + |mean| + 4 max(mean z², 1) + |kurtosis - 3| + |skew|; std is unbiased, kurtosis and skew use the biased
    one.
    """
    spread = (1 - z.std(-1)).abs().mean(1) + z.mean(-1).abs().mean(1)
    power = 4 * z.square().mean((1, 2)).clamp(min=1)
    scores = (z - z.mean(-1, keepdim=True)) / z.std(-1, correction=0, keepdim=True)
    shape = (scores.pow(4).mean(-1) - 3).abs() + scores.pow(3).mean(-1).abs()
    return spread + power + shape.mean(1)


def one_class(logits: Tensor, temperature: float, draws: Draws | None) -> Tensor:
    """One class for each layer, as one-hot numbers with the gradient of a softmax (Jang et al., 2017).

    Sampled with Gumbel noise, or the likeliest class without draws.
    """
    if draws is not None:
        logits = logits + draws.gumbel("classes", logits.shape[1:])
    hard = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return straight_through(hard, (logits / temperature).softmax(-1))


def largest(logits: Tensor, count: int, temperature: float) -> Tensor:
    """Soft choices of the `count` largest, as in Big Sleep: the softmax of the largest, then of the rest, and so on."""
    result = torch.zeros_like(logits)
    for _ in range(count):
        value, index = (logits / temperature).softmax(-1).max(-1, keepdim=True)
        result = result.scatter(-1, index, value)
        logits = logits.scatter(-1, index, -torch.inf)
    return result


CANVAS = BigGANCanvas
