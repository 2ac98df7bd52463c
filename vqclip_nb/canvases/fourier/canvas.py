"""The Fourier canvas: a spectrum in decorrelated colours, with more weight on low frequencies (Olah et al., 2017)."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from vqclip_nb.canvases.base import Canvas
from vqclip_nb.canvases.decorrelation import CONTRAST, axes, from_rgb, to_rgb
from vqclip_nb.canvases.fourier import SPEC, FourierOptions
from vqclip_nb.rng import generator


class FourierCanvas(Canvas):
    """A picture as the sigmoid of a scaled inverse Fourier transform. It starts as faint, smooth noise on grey."""

    lr = SPEC.lr
    scale: Tensor
    colours: Tensor

    def __init__(self, *, size: tuple[int, int], seeds: Sequence[int], options: FourierOptions | None = None) -> None:
        super().__init__()
        self.options: FourierOptions = options or FourierOptions()
        self.contrast = CONTRAST * self.options.contrast
        self.width, self.height = size
        across, down = torch.fft.rfftfreq(self.width), torch.fft.fftfreq(self.height)
        frequency = (across.square() + down[:, None].square()).sqrt().clamp(min=1 / max(size))
        self.register_buffer("scale", (max(size) * frequency).pow(-self.options.decay)[..., None])  # (H, W // 2 + 1, 1)
        self.register_buffer("colours", axes(self.options.colours))
        shape = (3, *frequency.shape, 2)
        noise = [torch.randn(shape, generator=generator(seed, 0, "spectrum")) for seed in seeds]
        self.spectrum = nn.Parameter(0.05 * torch.stack(noise))  # (n, 3, H, W // 2 + 1, real and imaginary)

    @classmethod
    def open(cls, model: str, *, size: tuple[int, int], seeds: Sequence[int], options: FourierOptions) -> Self:
        return cls(size=size, seeds=seeds, options=options)

    def forward(self) -> Tensor:
        return self._shown(self._waves(), self.width, self.height)

    def render(self, width: int, height: int) -> Tensor:
        """Render at the same or a larger size: the same waves, sampled more densely."""
        waves, rows = self._waves(), self.height // 2
        if self.height % 2 == 0:  # the highest vertical frequency stands for both signs
            middle = waves[:, :, rows : rows + 1] / 2
            waves = torch.cat([waves[:, :, :rows], middle, middle, waves[:, :, rows + 1 :]], 2)
        upper, lower = waves.split([waves.shape[2] - rows, rows], 2)
        if (
            self.width % 2 == 0 and width > self.width
        ):  # so does the highest horizontal one, which is counted twice here
            upper, lower = (torch.cat([part[..., :-1], part[..., -1:] / 2], -1) for part in (upper, lower))
        finer = waves.new_zeros(*waves.shape[:2], height, width // 2 + 1)
        finer[:, :, : upper.shape[2], : waves.shape[3]] = upper
        finer[:, :, height - rows :, : waves.shape[3]] += lower
        return self._shown(finer, width, height)

    def _waves(self) -> Tensor:
        """The spectrum as complex numbers, (n, 3, H, W // 2 + 1)."""
        return torch.view_as_complex((self.spectrum * self.scale).contiguous())

    def _shown(self, waves: Tensor, width: int, height: int) -> Tensor:
        """The picture of a spectrum at this size."""
        components = torch.fft.irfft2(waves, s=(height, width), norm="forward")  # (n, 3, H, W)
        return to_rgb(components, self.colours, self.contrast)

    @torch.no_grad()
    def start_from(self, image: Tensor) -> None:
        resized = nn.functional.interpolate(image, (self.height, self.width), mode="bilinear", antialias=True)
        components = from_rgb(resized, self.colours, self.contrast)
        waves = torch.view_as_real(torch.fft.rfft2(components, norm="forward"))
        self.spectrum.copy_(waves / self.scale)


CANVAS = FourierCanvas
