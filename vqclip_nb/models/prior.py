"""The prior: a network that draws a coarse picture of a text in one pass, for a painting to start from.

A transformer reads the text into three vectors: two things and their background. Each thing is drawn as a small map of
features, moved to the place that its pose gives, and composited over the background. Convolutions turn the result into
a picture. The pose is what the text leaves open: position, size, rotation, mirroring. It is drawn from a seed.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip_nb.drawn_things import PRIOR, caption
from vqclip_nb.models.checkpoints import read_safetensors
from vqclip_nb.models.openai_clip import tokenizer
from vqclip_nb.rng import Draws

SIDE = 128  # pixels a side of its pictures
KINDS = 2  # of drawings: with light and volume, and flat
ROOM = 1.1  # the side of a thing's own square, in units of its longer side
CONTEXT = 24  # tokens
POSE = 12  # the kind of drawing, the horizon, and x, y, rotation, mirroring and size of each of two things
WIDTH, VECTOR, LAYER = 160, 256, 16
NONE = -50.0  # below it, the size of a thing that is not there
APART = 1.6  # how far from the middle two things stand, in units of 0.15 sides
LARGEST, SCALES = "thing.first.weight", "thing.first.scales"  # stored as int8 rows, and what to multiply them by
FREEDOM = 0.7  # how much poses vary, relative to those of the training pictures


def _normed(channels: int) -> nn.Module:
    return nn.GroupNorm(8, channels)


class _Block(nn.Module):
    """A residual transformer block with normalization first."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        n, length, width = x.shape
        parts = self.into(self.norm_1(x)).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        return x + self.mlp(self.norm_2(x))


class _Map(nn.Module):
    """A vector to a map of features, (n, LAYER, side, side)."""

    def __init__(self, inside: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Linear(inside, widths[0] * 16)
        self.scales = nn.ModuleList(nn.Linear(inside, 2 * width) for width in widths[1:])
        self.convs = nn.ModuleList(nn.Conv2d(one, two, 3, padding=1) for one, two in pairwise(widths))
        self.norms = nn.ModuleList(_normed(width) for width in widths[1:])
        self.last = nn.Conv2d(widths[-1], LAYER, 1)

    def forward(self, vector: Tensor) -> Tensor:
        x = self.first(vector).view(len(vector), -1, 4, 4)
        for scale, conv, norm in zip(self.scales, self.convs, self.norms, strict=True):
            x = norm(conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))
            gain, lift = scale(vector)[..., None, None].chunk(2, 1)
            x = F.silu(x * (1 + gain) + lift)
        return self.last(x)


class Prior(nn.Module):
    """Tokens (n, CONTEXT) and poses (n, POSE) to pictures (n, 3, SIDE, SIDE) in [0, 1].

    Tokens are rows of its own vocabulary, from 1; 0 is padding. `token_ids` are their ids for CLIP's tokenizer.
    """

    token_ids: Tensor

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.register_buffer("token_ids", torch.zeros(tokens - 1, dtype=torch.int32))
        self.token_embedding = nn.Embedding(tokens, WIDTH, padding_idx=0)
        self.position = nn.Parameter(torch.randn(CONTEXT + 3, WIDTH) * 0.02)
        self.asked = nn.Parameter(torch.randn(3, WIDTH) * 0.5)
        self.blocks = nn.ModuleList(_Block(WIDTH) for _ in range(3))
        self.norm = nn.LayerNorm(WIDTH)
        self.vector = nn.Linear(WIDTH, VECTOR)
        self.kind = nn.Embedding(KINDS, VECTOR)
        self.mixed = nn.Linear(VECTOR, VECTOR)
        self.thing = _Map(VECTOR, (256, 192, 128, 64, 32))
        self.back = _Map(VECTOR + 2, (64, 64, 48, 32))
        self.over = nn.Conv2d(LAYER, 1, 1)  # how much of a thing covers what is behind it
        self.style = nn.Linear(VECTOR, 2 * LAYER)
        self.smooth = nn.Conv2d(LAYER, LAYER, 3, padding=1)
        self.picture = nn.Conv2d(LAYER, 3, 3, padding=1)
        self.usual = nn.Linear(3 * VECTOR, 2 * POSE + 1)  # the usual pose, how much it varies, whether there are two

    def read(self, tokens: Tensor) -> Tensor:
        """Tokens (n, CONTEXT) -> (n, 3, VECTOR)."""
        x = torch.cat([self.asked.expand(len(tokens), -1, -1), self.token_embedding(tokens)], 1) + self.position
        mask = torch.cat([torch.ones_like(tokens[:, :3], dtype=torch.bool), tokens != 0], 1)
        for block in self.blocks:
            x = block(x, mask)
        return self.vector(F.silu(self.norm(x[:, :3])))

    def forward(self, tokens: Tensor, poses: Tensor) -> Tensor:
        return self.draw(self.read(tokens), poses)

    @torch.no_grad()
    def pictures(self, text: str, draws: Draws) -> Tensor:
        """A picture of a text that names a drawn thing for each seed of `draws`: (n, 3, SIDE, SIDE) in [0, 1]."""
        vectors = self.read(torch.stack([self._tokens(caption(text, seed)) for seed in draws.seeds]))
        mean, log_spread, two = self.usual(vectors.flatten(1)).split((POSE, POSE, 1), 1)
        poses = mean + FREEDOM * log_spread.clamp(-3, 2).exp() * draws.normal("pose", (POSE,)).to(mean)
        mirrored = torch.where(draws.uniform("mirrored", (2,)) < 0.5, -1.0, 1.0).to(mean)
        poses[:, 0] = poses[:, 0].round().clamp(-1, KINDS - 2)
        poses[:, [5, 10]] = mirrored
        freedom = 0.2 * (poses[:, [2, 7]] - mean[:, [2, 7]])
        apart = APART * mirrored[:, :1] * mirrored.new_tensor([-1.0, 1.0]) + freedom  # either way round
        poses[:, [2, 7]] = torch.where(two > 0, apart, poses[:, [2, 7]])
        poses[:, 11:] = poses[:, 11:].where(two > 0, 2 * NONE)
        return self.draw(vectors, poses)

    def _tokens(self, text: str) -> Tensor:
        rows = {token: row for row, token in enumerate(self.token_ids.tolist(), 1)}
        known = [rows[token] for token in tokenizer().encode(text) if token in rows][:CONTEXT]
        return torch.tensor(known + [0] * (CONTEXT - len(known)), device=self.token_ids.device)

    def draw(self, vectors: Tensor, poses: Tensor) -> Tensor:
        """The vectors of texts, (n, 3, VECTOR), and poses, (n, POSE), to pictures (n, 3, SIDE, SIDE) in [0, 1]."""
        seen = self.back(torch.cat([vectors[:, 2], poses[:, :2]], 1))
        seen = F.interpolate(seen.float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        for k in range(2):
            pose = poses[:, 2 + 5 * k : 7 + 5 * k]
            there = pose[:, 4] > NONE
            if not there.any():
                continue
            layer, cover = self.layer(vectors[there, k], poses[there, 0])
            layer = torch.cat([layer, cover], 1)
            layer = F.grid_sample(layer.float(), grid(pose[there]), "bilinear", "zeros", align_corners=False)
            layer, cover = layer[:, :-1], layer[:, -1:]
            seen = seen.index_put((there.nonzero()[:, 0],), seen[there] * (1 - cover) + layer * cover)
        return self.colours(seen, vectors)

    def layer(self, vector: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Things in their own squares: features (n, LAYER, side, side), and how much they cover, (n, 1, side, side).

        vector: (n, VECTOR); kind: (n,) from -1.
        """
        mixed = F.silu(self.mixed(vector + self.kind((kind + 1).long())))
        layer = self.thing(mixed)
        return layer, torch.sigmoid(self.over(layer).float())

    def colours(self, features: Tensor, vectors: Tensor) -> Tensor:
        """Features (n, LAYER, H, W) and the texts' vectors (n, 3, VECTOR) to pictures (n, 3, H, W) in [0, 1]."""
        gain, lift = self.style(vectors[:, 2])[..., None, None].chunk(2, 1)
        features = features * (1 + gain) + lift
        features = features + F.silu(self.smooth(features))
        return torch.sigmoid(self.picture(features))


def grid(pose: Tensor) -> Tensor:
    """The position of each pixel of the picture in a thing's own square, (n, SIDE, SIDE, 2) in [-1, 1].

    `pose` is (n, 5): x and y of the centre, in units of 0.15 sides from 0.5; rotation, in units of 6 degrees; 1 if
    mirrored, else -1; and the longer side, in units of 0.12 sides from 0.5.
    """
    at = torch.linspace(-1, 1, 2 * SIDE + 1, device=pose.device)[1::2]
    y, x = torch.meshgrid(at, at, indexing="ij")
    column = lambda k: pose[:, k].view(-1, 1, 1)  # noqa: E731
    x, y = x - 0.3 * column(0), y - 0.3 * column(1)
    angle, side = column(2) * (6 * math.pi / 180), (0.5 + 0.12 * column(4)) * ROOM
    turned = torch.cos(angle) * x - torch.sin(angle) * y, torch.sin(angle) * x + torch.cos(angle) * y
    return torch.stack([turned[0] / side * -column(3), turned[1] / side], -1)


def load_prior() -> Prior:
    """The prior in the package: float32, CPU, eval, frozen."""
    state = {name: each.float() if each.dtype == torch.half else each for name, each in read_safetensors(PRIOR).items()}
    state[LARGEST] = state[LARGEST].float() * state.pop(SCALES)[:, None]
    prior = Prior(len(state["token_embedding.weight"]))
    prior.load_state_dict(state)
    return prior.eval().requires_grad_(False)
