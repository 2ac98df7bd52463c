"""BigGAN-deep: the published generator (Brock et al., 2019), in the format of Hugging Face's conversion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip_nb.models.errors import BrokenWeights
from vqclip_nb.models.vqgan import Unfilled, fill

READINGS = ("published", "plain")
MARKS = ("embeddings.weight",)


@dataclass(frozen=True)
class BigGANConfig:
    """The config of a generator, with the keys of the published one.

    layers: for each block, whether it doubles the size, and its input and output channels, in units of `channel_width`.
    """

    output_dim: int
    layers: Sequence[tuple[bool, int, int]]
    z_dim: int = 128
    class_embed_dim: int = 128
    channel_width: int = 128
    num_classes: int = 1000
    attention_layer_position: int = 8
    eps: float = 1e-4
    n_stats: int = 51

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> BigGANConfig:
        """From the catalog's table. Raises `BrokenWeights` when a key is missing or unknown."""
        try:
            layers = tuple((bool(up), int(before), int(after)) for up, before, after in table["layers"])
            return cls(**{**table, "layers": layers})
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenWeights(f"its config is not a BigGAN's: {error}") from None


class Norm(nn.Module):
    """Batch norm with stored statistics, one row per truncation; scale and shift depend on a condition, (n, cond)."""

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, config: BigGANConfig) -> None:
        super().__init__()
        condition = config.z_dim + config.class_embed_dim
        self.eps = config.eps
        self.register_buffer("running_means", torch.empty(config.n_stats, channels))
        self.register_buffer("running_vars", torch.empty(config.n_stats, channels))
        self.scale = nn.Linear(condition, channels, bias=False)
        self.offset = nn.Linear(condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor, at: tuple[int, float, float]) -> Tensor:
        gain, shift = 1 + self.scale(condition), self.offset(condition)
        return normalize(x, self, at) * gain[..., None, None] + shift[..., None, None]


class LastNorm(nn.Module):
    """Batch norm with stored statistics and a learned scale and shift."""

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, config: BigGANConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.register_buffer("running_means", torch.empty(config.n_stats, channels))
        self.register_buffer("running_vars", torch.empty(config.n_stats, channels))
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor, at: tuple[int, float, float]) -> Tensor:
        return normalize(x, self, at) * self.weight[:, None, None] + self.bias[:, None, None]


def normalize(x: Tensor, norm: Norm | LastNorm, at: tuple[int, float, float]) -> Tensor:
    """(x - mean) / sqrt(variance + eps), with the statistics `at` that `statistics_at` returned."""
    row, this, following = at
    after = min(row + 1, len(norm.running_means) - 1)
    mean, variance = (table[row] * this + table[after] * following for table in (norm.running_means, norm.running_vars))
    return (x - mean[:, None, None]) * (variance + norm.eps).rsqrt()[:, None, None]


class Block(nn.Module):
    """A residual bottleneck, which doubles the size if `up`."""

    def __init__(self, before: int, after: int, up: bool, config: BigGANConfig) -> None:
        super().__init__()
        middle = before // 4
        self.up, self.after = up, after
        self.bn_0, self.conv_0 = Norm(before, config), nn.Conv2d(before, middle, 1)
        self.bn_1, self.conv_1 = Norm(middle, config), nn.Conv2d(middle, middle, 3, padding=1)
        self.bn_2, self.conv_2 = Norm(middle, config), nn.Conv2d(middle, middle, 3, padding=1)
        self.bn_3, self.conv_3 = Norm(middle, config), nn.Conv2d(middle, after, 1)

    def forward(self, x: Tensor, condition: Tensor, at: tuple[int, float, float]) -> Tensor:
        skip = x if x.shape[1] == self.after else x[:, : x.shape[1] // 2]
        x = self.conv_0(self.bn_0(x, condition, at).relu())
        x = self.bn_1(x, condition, at).relu()
        if self.up:
            x, skip = (F.interpolate(part, scale_factor=2, mode="nearest") for part in (x, skip))
        x = self.conv_1(x)
        x = self.conv_2(self.bn_2(x, condition, at).relu())
        return skip + self.conv_3(self.bn_3(x, condition, at).relu())


class Attention(nn.Module):
    """Self-attention with pooled keys and values (Zhang et al., 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.snconv1x1_theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.snconv1x1_o_conv = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor) -> Tensor:
        query = self.snconv1x1_theta(x).flatten(2)  # (n, c / 8, h * w)
        key = F.max_pool2d(self.snconv1x1_phi(x), 2).flatten(2)  # (n, c / 8, h * w / 4)
        value = F.max_pool2d(self.snconv1x1_g(x), 2).flatten(2)  # (n, c / 2, h * w / 4)
        weights = (query.mT @ key).softmax(-1)  # (n, h * w, h * w / 4)
        values = (value @ weights.mT).unflatten(2, x.shape[2:])
        return x + self.gamma * self.snconv1x1_o_conv(values)


class BigGAN(nn.Module):
    """The generator, frozen, float32, its spectral norms folded into the weights.

    latents: the number of its input vectors, one for the first layer and one for each block. side: the side of its
    square picture in pixels. at: the row of statistics, and the weights of that row and of the next
    (`choose_statistics`). unexpected: the number of tensors in the published file that were not needed.
    """

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        width, condition = config.channel_width, config.z_dim + config.class_embed_dim
        self.z_dim, self.num_classes, self.side = config.z_dim, config.num_classes, config.output_dim
        self.latents, self.n_stats, self.unexpected = len(config.layers) + 1, config.n_stats, 0
        self.first = config.layers[0][1] * width  # channels of the first 4 x 4 grid
        self.embeddings = nn.Linear(config.num_classes, config.class_embed_dim, bias=False)
        self.gen_z = nn.Linear(condition, 16 * self.first)
        layers: list[nn.Module] = []
        for index, (up, before, after) in enumerate(config.layers):
            if index == config.attention_layer_position:
                layers.append(Attention(before * width))
            layers.append(Block(before * width, after * width, up, config))
        self.layers = nn.ModuleList(layers)
        self.bn = LastNorm(config.layers[-1][2] * width, config)
        self.conv_to_rgb = nn.Conv2d(config.layers[-1][2] * width, 3, 3, padding=1)
        self.choose_statistics(1.0)

    def choose_statistics(self, truncation: float, reading: str = "published") -> None:
        """Use the statistics stored for a truncation in (0, 1]."""
        self.at = statistics_at(truncation, self.n_stats, reading)

    def condition(self, z: Tensor, classes: Tensor) -> Tensor:
        """(n, latents, z_dim) and weights of the classes (n, latents, classes) -> the input of `decode`."""
        return torch.cat([z, self.embeddings(classes)], -1)

    def decode(self, condition: Tensor) -> Tensor:
        """(n, latents, z_dim + class_embed_dim) -> (n, 3, side, side), in [-1, 1]"""
        rows = iter(condition.unbind(1))
        x = self.gen_z(next(rows)).view(-1, 4, 4, self.first).movedim(-1, 1).contiguous()
        for layer in self.layers:
            x = layer(x, next(rows), self.at) if isinstance(layer, Block) else layer(x)
        return self.conv_to_rgb(self.bn(x, self.at).relu()).tanh()


def statistics_at(truncation: float, n_stats: int, reading: str = "published") -> tuple[int, float, float]:
    """The row of statistics for a truncation, and the weights of that row and of the next.

    `plain` interpolates linearly. `published` swaps the two weights, as the converted generator does: it differs
    between rows, and at truncations whose row is missed by rounding, such as .58.
    """
    between, row = math.modf(truncation / (1.0 / (n_stats - 1)))
    if between == 0:
        return int(row), 1.0, 0.0
    return (int(row), between, 1 - between) if reading == "published" else (int(row), 1 - between, between)


def needed(key: str) -> str | None:
    """The name under which a checkpoint's tensor is used: its own, for every tensor."""
    return key


def build(config: BigGANConfig, state: Mapping[str, Tensor]) -> BigGAN:
    """A frozen generator in eval mode from the published keys. Raises `BrokenWeights` when a tensor does not fit."""
    tensors = fold(state)
    for name in ("weight", "bias"):  # the first three of 128 channels are the colours
        if (key := f"conv_to_rgb.{name}") in tensors:
            tensors[key] = tensors[key][:3]
    try:
        with Unfilled():
            model = BigGAN(config)
    except (LookupError, TypeError, ArithmeticError, RuntimeError) as error:
        raise BrokenWeights(f"its config makes no BigGAN: {error!r}") from None
    model.unexpected = fill(model, tensors)
    return model


def fold(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Divide weights by their spectral norm, u · (W v), without iteration (Miyato et al., 2018), and rename them."""
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key.removeprefix("generator.")
        if name.endswith(("weight_u", "weight_v")):
            continue
        if name.endswith(".weight_orig"):
            u, v = (state.get(key.removesuffix("orig") + each) for each in "uv")
            if u is None or v is None:
                raise BrokenWeights(f"{key} has no weight_u or weight_v; the file is not a BigGAN's")
            matrix = value.float().flatten(1)
            try:
                norm = torch.dot(u.float(), matrix @ v.float())
            except RuntimeError:
                raise BrokenWeights(
                    f"{key} is {tuple(value.shape)}, which its weight_u and weight_v do not fit"
                ) from None
            tensors[name.removesuffix("_orig")] = value.float() / norm
        else:
            tensors[name] = value.float()
    return tensors
