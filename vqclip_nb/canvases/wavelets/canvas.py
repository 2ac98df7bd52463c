"""The wavelets canvas: coefficients of wavelets, from coarse to fine, in decorrelated colours (Aphantasia, 2021)."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from vqclip_nb.canvases.base import Canvas
from vqclip_nb.canvases.decorrelation import CONTRAST, axes, from_rgb, to_rgb
from vqclip_nb.canvases.wavelets import SPEC, WaveletOptions
from vqclip_nb.rng import generator


class WaveletsCanvas(Canvas):
    """A picture as the sigmoid of an inverse wavelet transform. It starts as faint noise on grey.

    `coarse` is the mean of large blocks; `details` has three directions for each level, coarse first. The weight of a
    level is (its number of coefficients)^(sharp - 1), as in Aphantasia, relative to the coarsest.
    """

    lr = SPEC.lr
    colours: Tensor

    def __init__(self, *, size: tuple[int, int], seeds: Sequence[int], options: WaveletOptions | None = None) -> None:
        super().__init__()
        self.options: WaveletOptions = options or WaveletOptions()
        self.width, self.height = size
        self.contrast = CONTRAST * self.options.contrast
        self.register_buffer("colours", axes(self.options.colours))
        wavelets, levels = _library()
        self.levels = max(1, levels((self.height, self.width), self.options.wave))
        empty = wavelets.wavedec2(torch.zeros(1, 3, self.height, self.width), self.options.wave, level=self.levels)
        sizes = [detail[0].shape[-2] * detail[0].shape[-1] for detail in empty[1:]]
        self.weights = [2**self.levels * (sizes[0] / number) ** (1 - self.options.sharp) for number in sizes]
        draw = [generator(seed, 0, "wavelets") for seed in seeds]
        shapes = [(3, 3, *detail[0].shape[-2:]) for detail in empty[1:]]  # (direction, colour, rows, columns)
        coarse = [torch.randn(3, *empty[0].shape[-2:], generator=each) for each in draw]
        self.coarse = nn.Parameter(0.05 * torch.stack(coarse))  # (n, 3, rows, columns)
        self.details = nn.ParameterList(
            0.05 * torch.stack([torch.randn(shape, generator=each) for each in draw]) for shape in shapes
        )

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: WaveletOptions) -> Self:
        return cls(size=size, seeds=seeds, options=options)

    def forward(self) -> Tensor:
        wavelets, _ = _library()
        details = [detail * weight for detail, weight in zip(self.details, self.weights, strict=True)]
        bands = [self.coarse * 2**self.levels, *(tuple(each.unbind(1)) for each in details)]
        components = wavelets.waverec2(bands, self.options.wave)[..., : self.height, : self.width]
        return to_rgb(components, self.colours, self.contrast)

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        wavelets, _ = _library()
        resized = nn.functional.interpolate(image, (self.height, self.width), mode="bilinear", antialias=True)
        components = from_rgb(resized, self.colours, self.contrast)
        coarse, *details = wavelets.wavedec2(components, self.options.wave, level=self.levels)
        self.coarse.copy_(coarse / 2**self.levels)
        for own, detail, weight in zip(self.details, details, self.weights, strict=True):
            own.copy_(torch.stack([*detail], 1) / weight)


def _library() -> tuple[Any, Any]:
    """ptwt's transforms, and PyWavelets' number of levels for a shape and a wavelet. Raises ImportError in one line."""
    try:
        import ptwt
        import pywt
    except ImportError:
        command = 'pip install "vqclip_nb[wavelets]"'
        raise ImportError(f"the canvas wavelets needs another package: `{command}`") from None
    return ptwt, pywt.dwtn_max_level


CANVAS = WaveletsCanvas
