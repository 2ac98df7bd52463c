"""Codebook sampling: logits over the codebook, from which codes are drawn anew at each step (Crowson, 2021)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from vqclip_nb.canvases.vqgan import VQGANOptions
from vqclip_nb.canvases.vqgan.canvas import VQGANCanvas
from vqclip_nb.gradients import nearest_codes, straight_through
from vqclip_nb.rng import generator

_SURE = 6.0  # how far above log(codes) the logit of a given picture's code is: it is drawn in 99.7 % of all steps


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
