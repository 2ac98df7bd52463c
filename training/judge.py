"""The judge: a classifier of scenes that never guides a painting and says which of several prompts a picture shows.

There are two: one of the painted scenes, and one of the whole world with its drawn things.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import scenes
import torch
import torch.nn.functional as F
import world
from safetensors.torch import load_file, save_file
from scenes import Scene
from things import Thing
from torch import nn

SIZE = 64
WEIGHTS = Path(__file__).parent / "judge.safetensors"
OF_THINGS = WEIGHTS.with_stem("judge-things")


def _block(inside: int, outside: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.GELU())


class Judge(nn.Module):
    """RGB in [0, 1], any size, to the log-probabilities of every class of every attribute."""

    def __init__(self, width: int = 40, *, things: bool = False):
        super().__init__()
        self.world = world if things else scenes
        w = width
        self.body = nn.Sequential(
            _block(3, w, 2), _block(w, w, 1),
            _block(w, 2 * w, 2), _block(2 * w, 2 * w, 1),
            _block(2 * w, 4 * w, 2), _block(4 * w, 4 * w, 1),
            _block(4 * w, 6 * w, 2), _block(6 * w, 6 * w, 1),
        )  # fmt: skip
        self.squeeze = nn.Linear(6 * w * 16, 256)  # places count: what stands above what
        self.heads = nn.ModuleList(nn.Linear(256, len(options)) for options in self.world.ATTRIBUTES.values())

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        if pictures.shape[-1] != SIZE:
            pictures = F.interpolate(pictures, size=(SIZE, SIZE), mode="area")
        seen = F.gelu(self.squeeze(self.body(pictures * 2 - 1).flatten(1)))
        return [head(seen).log_softmax(1) for head in self.heads]

    @torch.no_grad()
    def scores(self, pictures: torch.Tensor, shown: Sequence[Scene | Thing]) -> torch.Tensor:
        """How well each picture shows each scene, (pictures, scenes): the sum of the attributes' log-probabilities."""
        expected = torch.tensor([self.world.labels(scene) for scene in shown])
        return sum(each[:, expected[:, k]] for k, each in enumerate(self(pictures)))


def load_judge(path: Path = WEIGHTS) -> Judge:
    judge = Judge(things=path == OF_THINGS)
    state = {key: value.float() for key, value in load_file(path).items()}
    judge.load_state_dict(state, strict=False)
    return judge.eval().requires_grad_(False)


def save_judge(judge: Judge, path: Path = WEIGHTS) -> None:
    state = {k: v.detach().half().contiguous() for k, v in judge.state_dict().items() if "num_batches" not in k}
    save_file(state, path)
