"""Toys: models of a few lines that run the real loop in milliseconds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor, nn

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0), "white": (1.0, 1.0, 1.0)}


class ToyVQGAN(nn.Module):
    """Codes are colours on a 5 x 5 x 5 lattice in [-1, 1], decoded as tiles of factor x factor pixels."""

    factor, tidy_every = 8, 0

    def __init__(self) -> None:
        super().__init__()
        steps = torch.linspace(-1, 1, 5)
        self.register_buffer("codebook", torch.cartesian_prod(steps, steps, steps))
        self.gain = nn.Parameter(torch.ones(()))  # something to be frozen

    def encode(self, image: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(image, self.factor)

    def decode(self, z: Tensor) -> Tensor:
        return nn.functional.interpolate(z * self.gain, scale_factor=self.factor, mode="nearest")


class ToyBigGAN(nn.Module):
    """Tiles of 8 x 8 pixels, each coloured by three numbers of the latents and a little by its class."""

    latents, z_dim, num_classes, side = 4, 64, 5, 0

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.columns, self.rows = size[0] // 8, size[1] // 8
        self.gain = nn.Parameter(torch.ones(()))  # something to be frozen

    def choose_statistics(self, truncation: float, reading: str) -> None:
        """There are none."""

    def condition(self, z: Tensor, classes: Tensor) -> Tensor:
        return torch.cat([z, classes], -1)

    def decode(self, condition: Tensor) -> Tensor:
        colours = condition[..., : self.z_dim].flatten(1)[:, : 3 * self.rows * self.columns]
        tint = 0.01 * condition[..., self.z_dim :].mean((1, 2))[:, None, None, None]
        tiles = colours.view(-1, 3, self.rows, self.columns) + tint
        return nn.functional.interpolate(tiles * self.gain, scale_factor=8, mode="nearest")


class ToyPerceptor(nn.Module):
    """Sees the mean colour alone; knows the names of COLOURS."""

    name, cut_size = "toy", 16
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))

    def encode_image(self, batch: Tensor) -> Tensor:
        return self._unit(batch.mean((2, 3)))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return self._unit(torch.tensor([COLOURS[text] for text in texts]).reshape(-1, 3))

    def _unit(self, colour: Tensor) -> Tensor:
        """Colour and darkness on the unit sphere: black is not red."""
        return nn.functional.normalize(torch.cat([colour, torch.full_like(colour[:, :1], 0.2)], 1), dim=1)


@contextmanager
def toy_models() -> Iterator[None]:
    """The real assembly, with toys for models."""
    with (
        mock.patch("vqclip_nb.models.load_vqgan", side_effect=lambda name: ToyVQGAN(), create=True),
        mock.patch("vqclip_nb.perceptors.load", side_effect=lambda name: [ToyPerceptor()]),
    ):
        yield
