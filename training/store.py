"""The store: all pictures and captions of the training scenes on one device, where indices alone draw a batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import torch
from data import SEEN, Scenes
from perceptor import Vocabulary
from scenes import Scene
from thing_data import Things
from things import Thing
from torch import Tensor
from world import all_words, caption, labels

WHOLE, PARTIAL = 8, 4  # captions kept of each scene: with every attribute said, and with some perhaps unsaid
Sets = Sequence[Scenes | Things]


@cache
def vocabulary() -> Vocabulary:
    """Of all words of the world; made once."""
    return Vocabulary(sorted(all_words()))


class Store:
    """What sets of scenes, several pictures of each, give to training; its methods ask nothing back of the device."""

    def __init__(self, sets: Sets, device: torch.device, seed: int) -> None:
        self.device, self.scenes = device, [scene for data in sets for scene in data.scenes]
        self.captions = _captions(self.scenes, seed).to(device)
        self.targets = torch.tensor([labels(scene) for scene in self.scenes], device=device)
        self.pixels = torch.from_numpy(np.concatenate([data.pictures.reshape(-1, SEEN, SEEN, 3) for data in sets]))
        self.pixels = self.pixels.to(device)
        each = torch.cat([torch.full((len(data.scenes),), data.pictures.shape[1]) for data in sets])
        self.each, self.first = each.to(device), (each.cumsum(0) - each).to(device)

    def pictures(self, chosen: Tensor) -> Tensor:
        """A picture of each of these scenes, mirrored or not: (n, 3, SEEN, SEEN) in [0, 1]."""
        which = self.first[chosen] + self._below(self.each[chosen])
        pictures = self.pixels[which].movedim(-1, 1).float() / 255
        mirrored = torch.rand(len(chosen), 1, 1, 1, device=self.device) < 0.5
        return torch.where(mirrored, pictures.flip(3), pictures)

    def texts(self, chosen: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """The tokens of a caption of each of these scenes, so large a share of them whole; and which are, 1 or 0."""
        whole = torch.rand(len(chosen), device=self.device) < share
        which = torch.where(whole, self._below(whole * 0 + WHOLE), self._below(whole * 0 + PARTIAL) + WHOLE)
        return self.captions[chosen, which].long(), whole.float()

    def _below(self, counts: Tensor) -> Tensor:
        """A random number of each 0..count - 1."""
        return (torch.rand(len(counts), device=self.device) * counts).long()


def _captions(scenes: list[Scene | Thing], seed: int) -> Tensor:
    """The tokens of WHOLE + PARTIAL captions of each scene, none cut short: (scenes, captions, length) int16."""
    jobs = [(scenes[first : first + 500], (seed, first)) for first in range(0, len(scenes), 500)]
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
        tokens = np.concatenate(list(pool.map(_captions_of, jobs)))
    return torch.from_numpy(np.ascontiguousarray(tokens[..., : np.flatnonzero(tokens.any((0, 1)))[-1] + 1]))


def _captions_of(job: tuple[list[Scene | Thing], tuple[int, int]]) -> np.ndarray:
    scenes, seed = job
    rng = np.random.default_rng(seed)
    texts = [caption(scene, rng, whole=k < WHOLE) for scene in scenes for k in range(WHOLE + PARTIAL)]
    return vocabulary()(texts).numpy().astype(np.int16).reshape(len(scenes), WHOLE + PARTIAL, -1)
