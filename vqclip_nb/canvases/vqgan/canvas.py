"""The VQGAN canvas: codes of a learned codebook, decoded to a picture (Esser et al., 2021)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from vqclip_nb import symmetry
from vqclip_nb.canvases.base import Canvas
from vqclip_nb.canvases.vqgan import SPEC, VQGANOptions
from vqclip_nb.gpu.cuda_graphs import replay
from vqclip_nb.gradients import nearest_codes, quantize, straight_through
from vqclip_nb.rng import generator

_SURE = 6.0  # the start image's codes get the logit log(codes) + 6, and are sampled in 99.7 % of all steps
_BLOCKS = {"ResnetBlock", "AttnBlock", "Upsample"}  # of taming's Decoder; the rest of it needs little memory


class VQGANCanvas(Canvas):
    """A latent grid z, quantized to its nearest codes and decoded (z+quantize, Crowson, 2021).

    `vqgan` has `codebook` (codes, c), `factor`, `encode` and `decode`; its pictures are in [-1, 1]. It is frozen. The
    size is rounded down to a multiple of `factor`. z starts as random codes on a grid four times as coarse,
    interpolated. The published method has one at every cell; a small perceptor does not see that speckle.
    """

    lr = SPEC.lr
    spherical = True
    _margin = 4  # cells of the opposite edges that are decoded with a tile, and then cropped
    cuts_off = True
    lowest: Tensor
    highest: Tensor

    def __init__(
        self, vqgan: Any, *, size: tuple[int, int], seeds: Sequence[int], options: VQGANOptions | None = None
    ) -> None:
        super().__init__()
        self.vqgan = vqgan.requires_grad_(False).eval()
        self.options: VQGANOptions = options or VQGANOptions()
        codebook = vqgan.codebook.detach().float()  # (codes, c)
        self.register_buffer("lowest", codebook.amin(0)[:, None, None])
        self.register_buffer("highest", codebook.amax(0)[:, None, None])
        columns, rows = (max(side // vqgan.factor, 1) for side in size)
        coarse = (-(-rows // 4), -(-columns // 4))
        index = torch.stack(
            [torch.randint(len(codebook), coarse, generator=generator(seed, 0, "codes")) for seed in seeds]
        )
        codes = codebook[index].movedim(-1, 1)  # (n, c, *coarse)
        self.z = nn.Parameter(nn.functional.interpolate(codes, (rows, columns), mode="bilinear"))

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: VQGANOptions) -> "VQGANCanvas":
        from vqclip_nb import models
        from vqclip_nb.models import shared

        vqgan = shared.load_once("vqgan", model, lambda: models.optimize_network(models.load_vqgan(model)))
        if options.codes != "nearest":
            return CodebookCanvas(vqgan, size=size, seeds=seeds, options=options)
        return cls(vqgan, size=size, seeds=seeds, options=options)

    @property
    def tidy_every(self) -> int:  # type: ignore[override]
        """The steps between two encodings: the option, or the model's default."""
        return self.vqgan.tidy_every if self.options.tidy is None else self.options.tidy

    def codes(self) -> Tensor:
        """The quantized grid, (n, c, h, w), which is decoded."""
        return quantize(self.z, self.vqgan.codebook)

    def forward(self) -> Tensor:
        codes = symmetry.wrap(self.codes(), self._margin) if self.tiled else self.codes()
        with self.precision.rendering(codes.device):
            image = self.vqgan.decode(codes) if self.thrifty else replay(self.vqgan.decode, codes)
        image = symmetry.crop(image, self._margin * self.vqgan.factor) if self.tiled else image
        return self.bounded((image.float() + 1) / 2)

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        self.z.copy_(quantize(self._encoded(image, self.z.shape[-2:]), self.vqgan.codebook))

    def _encoded(self, image: Tensor, grid: Sequence[int]) -> Tensor:
        """Encode a picture of any size on a grid of these rows and columns."""
        height, width = (number * self.vqgan.factor for number in grid)
        resized = nn.functional.interpolate(image, (height, width), mode="bilinear", antialias=True)
        return self._z_of(resized)

    def _z_of(self, image: Tensor) -> Tensor:
        """Encode a picture; a tile is padded with its opposite edges."""
        if not self.tiled:
            z: Tensor = self.vqgan.encode(image * 2 - 1)
            return z
        padded = symmetry.wrap(image, self._margin * self.vqgan.factor)
        return symmetry.crop(self.vqgan.encode(padded * 2 - 1), self._margin)

    @torch.no_grad()
    def constrain(self) -> None:
        self.z.copy_(self.z.maximum(self.lowest).minimum(self.highest))

    @torch.no_grad()
    def tidy(self) -> None:
        """Re-encode the picture to clear cracks: a step of a denoising autoencoder (Bengio et al., 2013)."""
        image = self()
        with self.precision.rendering(image.device):
            z = self._z_of(image)
        self.z.copy_(quantize(z.float(), self.vqgan.codebook))

    def save_memory(self) -> bool:
        """Decode block by block, and recompute each block in the backward pass (Chen et al., 2016)."""
        from torch.utils.checkpoint import checkpoint

        from vqclip_nb.models import shared

        blocks = [block for block in self.vqgan.modules() if type(block).__name__ in _BLOCKS]
        if self.thrifty or not blocks:
            return False
        for block in blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
        shared.forget()  # the next painting may have more memory
        self.thrifty = True
        return True


class CodebookCanvas(VQGANCanvas):
    """Logits of each code at each cell, (n, codes, h, w). Codes are sampled from them at each step and decoded.

    The gradient is straight-through: with `multinomial` that of the softmax, with `gumbel` that of the softmax of the
    logits with Gumbel noise, over the temperature (Jang et al., 2017). The result shows the likeliest codes. The logits
    start as normal numbers.
    """

    lr = 0.05

    def __init__(self, vqgan: Any, *, size: tuple[int, int], seeds: Sequence[int], options: VQGANOptions) -> None:
        super().__init__(vqgan, size=size, seeds=seeds, options=options)
        shape = (len(vqgan.codebook), *self.z.shape[-2:])
        del self.z
        logits = [torch.randn(shape, generator=generator(seed, 0, "logits")) for seed in seeds]
        self.logits = nn.Parameter(torch.stack(logits))

    @property
    def tidy_every(self) -> int:  # type: ignore[override]
        """Never: encoding would leave one certain code per cell."""
        return 0

    def tidy(self) -> None:
        """Nothing."""

    def codes(self) -> Tensor:
        """The sampled codes, or the likeliest without draws: (n, c, h, w)"""
        logits = self.logits / self.options.temperature
        if self.draws is None:
            soft, index = logits.softmax(1), self.logits.argmax(1)
        elif self.options.codes == "gumbel":
            noise = self.draws.gumbel("codes", self.logits.shape[1:])
            soft, index = ((self.logits + noise) / self.options.temperature).softmax(1), (self.logits + noise).argmax(1)
        else:
            soft = logits.softmax(1)
            index = sample_index(soft.detach(), self.draws.uniform("codes", self.logits.shape[2:]).to(soft.device))
        codebook = self.vqgan.codebook
        mean = torch.einsum("nkhw,kc->nchw", soft, codebook)
        return straight_through(embedding(index, codebook).movedim(-1, 1), mean)

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        index = nearest_codes(self._encoded(image, self.logits.shape[-2:]), self.vqgan.codebook)[
            :, None
        ]  # (1 or n, 1, h, w)
        height = torch.log(torch.tensor(float(self.logits.shape[1]))) + _SURE
        self.logits.zero_().scatter_(1, index.expand(len(self.logits), -1, -1, -1), float(height))

    def constrain(self) -> None:
        """Logits have no limits."""


def sample_index(shares: Tensor, uniform: Tensor) -> Tensor:
    """Sample an index from probabilities, (n, k, h, w), with uniform numbers, (n, h, w) -> (n, h, w)"""
    passed = shares.cumsum(1) <= uniform[:, None] * shares.sum(1, keepdim=True)
    return passed.sum(1).clamp(max=shares.shape[1] - 1)


CANVAS = VQGANCanvas
