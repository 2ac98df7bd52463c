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
from vqclip_nb.gpu.cuda_graphs import replayed
from vqclip_nb.gradients import nearest_codes, quantize, straight_through
from vqclip_nb.rng import generator

_SURE = 6.0  # how far above log(codes) the logit of a given picture's code is: it is drawn in 99.7 % of all steps
_BLOCKS = {"ResnetBlock", "AttnBlock", "Upsample"}  # of taming's Decoder: what lies between them is small


class VQGANCanvas(Canvas):
    """z on the codebook's grid, quantized to its nearest codes and decoded (z+quantize, Crowson, 2021).

    `vqgan` has `codebook` (codes, c), `factor`, `encode` and `decode`; its pictures are in [-1, 1]. It is frozen.
    The size is rounded down to a multiple of `factor`. Begins with random codes on a grid four times as coarse,
    interpolated (published: one at every cell): a small perceptor does not see the speckle of those.
    """

    lr = SPEC.lr
    spherical = True
    _margin = 4  # cells of the opposite edge that a tile is decoded with, and cut off again
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
        chosen = torch.stack(
            [torch.randint(len(codebook), coarse, generator=generator(seed, 0, "codes")) for seed in seeds]
        )
        codes = codebook[chosen].movedim(-1, 1)  # (n, c, *coarse)
        self.z = nn.Parameter(nn.functional.interpolate(codes, (rows, columns), mode="bilinear"))

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: VQGANOptions) -> "VQGANCanvas":
        from vqclip_nb import models
        from vqclip_nb.models import shared

        vqgan = shared.loaded("vqgan", model, lambda: models.optimize_network(models.load_vqgan(model)))
        if options.codes != "nearest":
            return CodebookCanvas(vqgan, size=size, seeds=seeds, options=options)
        return cls(vqgan, size=size, seeds=seeds, options=options)

    @property
    def tidy_every(self) -> int:  # type: ignore[override]
        """The steps between two encodings: as the options say, or what suits the model."""
        return self.vqgan.tidy_every if self.options.tidy is None else self.options.tidy

    def codes(self) -> Tensor:
        """What is decoded, (n, c, h, w)."""
        return quantize(self.z, self.vqgan.codebook)

    def forward(self) -> Tensor:
        codes = symmetry.wrapped(self.codes(), self._margin) if self.tiled else self.codes()
        with self.precision.rendering(codes.device):
            image = self.vqgan.decode(codes) if self.thrifty else replayed(self.vqgan.decode, codes)
        image = symmetry.cropped(image, self._margin * self.vqgan.factor) if self.tiled else image
        return self.bounded((image.float() + 1) / 2)

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        self.z.copy_(quantize(self._encoded(image, self.z.shape[-2:]), self.vqgan.codebook))

    def _encoded(self, image: Tensor, places: Sequence[int]) -> Tensor:
        """A picture of any size, encoded on a grid of so many rows and columns."""
        height, width = (number * self.vqgan.factor for number in places)
        fitted = nn.functional.interpolate(image, (height, width), mode="bilinear", antialias=True)
        return self._z_of(fitted)

    def _z_of(self, image: Tensor) -> Tensor:
        """A picture encoded; of a tile, with the opposite edges beside it."""
        if not self.tiled:
            z: Tensor = self.vqgan.encode(image * 2 - 1)
            return z
        beside = symmetry.wrapped(image, self._margin * self.vqgan.factor)
        return symmetry.cropped(self.vqgan.encode(beside * 2 - 1), self._margin)

    @torch.no_grad()
    def constrain(self) -> None:
        self.z.copy_(self.z.maximum(self.lowest).minimum(self.highest))

    @torch.no_grad()
    def tidy(self) -> None:
        """Re-encode the picture, which clears cracks: a step of a denoising autoencoder (Bengio et al., 2013)."""
        image = self()
        with self.precision.rendering(image.device):
            z = self._z_of(image)
        self.z.copy_(quantize(z.float(), self.vqgan.codebook))

    def save_memory(self) -> bool:
        """Decode block by block, and compute each block again on the way back (Chen et al., 2016)."""
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
    """Logits of each code at each place, (n, codes, h, w). The code that is drawn is decoded.

    Gradients go straight through the draw: to the softmax for `multinomial`, and for `gumbel` to that of the logits
    with Gumbel noise, over the temperature (Jang et al., 2017). The result shows the likeliest codes. The logits are
    normal numbers at first.
    """

    lr = 0.05

    def __init__(self, vqgan: Any, *, size: tuple[int, int], seeds: Sequence[int], options: VQGANOptions) -> None:
        super().__init__(vqgan, size=size, seeds=seeds, options=options)
        shape = (len(vqgan.codebook), *self.z.shape[-2:])
        del self.z
        drawn = [torch.randn(shape, generator=generator(seed, 0, "logits")) for seed in seeds]
        self.logits = nn.Parameter(torch.stack(drawn))

    @property
    def tidy_every(self) -> int:  # type: ignore[override]
        """Never: encoding would end all doubt between codes."""
        return 0

    def tidy(self) -> None:
        """Nothing."""

    def codes(self) -> Tensor:
        """The codes that are drawn, or the likeliest where no draws are given: (n, c, h, w)"""
        logits = self.logits / self.options.temperature
        if self.draws is None:
            soft, index = logits.softmax(1), self.logits.argmax(1)
        elif self.options.codes == "gumbel":
            noise = self.draws.gumbel("codes", self.logits.shape[1:])
            soft, index = ((self.logits + noise) / self.options.temperature).softmax(1), (self.logits + noise).argmax(1)
        else:
            soft = logits.softmax(1)
            index = drawn(soft.detach(), self.draws.uniform("codes", self.logits.shape[2:]).to(soft.device))
        codebook = self.vqgan.codebook
        mean = torch.einsum("nkhw,kc->nchw", soft, codebook)
        return straight_through(embedding(index, codebook).movedim(-1, 1), mean)

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        chosen = nearest_codes(self._encoded(image, self.logits.shape[-2:]), self.vqgan.codebook)[
            :, None
        ]  # (1 or n, 1, h, w)
        sure = torch.log(torch.tensor(float(self.logits.shape[1]))) + _SURE
        self.logits.zero_().scatter_(1, chosen.expand(len(self.logits), -1, -1, -1), float(sure))

    def constrain(self) -> None:
        """Logits may be anything."""


def drawn(shares: Tensor, places: Tensor) -> Tensor:
    """The index of the share that a number in [0, 1) falls into: (n, k, h, w) and (n, h, w) -> (n, h, w)"""
    reached = shares.cumsum(1) <= places[:, None] * shares.sum(1, keepdim=True)
    return reached.sum(1).clamp(max=shares.shape[1] - 1)


CANVAS = VQGANCanvas
