"""Chance: every draw is a function of the picture's seed, the step and the purpose, with no state to save.

Picture k of a batch therefore sees the same draws as when it is painted alone, and so does a run that is resumed,
replayed or split into smaller batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

import torch
from torch import Tensor


def generator(seed: int, step: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose at one step of the picture with this seed."""
    digest = blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class Draws:
    """The draws of one step for n pictures, one seed each. `owner` keeps two who draw for the same purpose apart."""

    seeds: tuple[int, ...]
    step: int = 0
    device: torch.device | str = "cpu"
    owner: str = ""

    def of(self, owner: str) -> Self:
        """The same step's draws, for another owner."""
        return replace(self, owner=f"{self.owner}{owner}/")

    def uniform(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Few numbers in [0, 1), (n, *shape), drawn and left on the CPU."""
        return torch.stack([torch.rand(*shape, generator=self._generator(seed, purpose)) for seed in self.seeds])

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Many normal numbers, (n, *shape), drawn on the device."""
        return torch.stack(
            [
                torch.randn(*shape, generator=self._generator(seed, purpose, self.device), device=self.device)
                for seed in self.seeds
            ]
        )

    def _generator(self, seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
        return generator(seed, self.step, self.owner + purpose, device)
