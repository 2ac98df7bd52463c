"""Random numbers: every draw depends only on the picture's seed, the step and the purpose. There is no state to save.

So the draws of a picture are the same in a batch and alone, and in a run that is resumed, replayed or split into
smaller batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

import torch
from torch import Tensor


def generator(seed: int, step: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A random generator for one purpose, at one step, of the picture with this seed."""
    digest = blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class Draws:
    """The random draws of one step for n pictures, one seed each. `owner` separates two users of one purpose."""

    seeds: tuple[int, ...]
    step: int = 0
    device: torch.device | str = "cpu"
    owner: str = ""

    def of(self, owner: str) -> Self:
        """The draws of the same step for another owner."""
        return replace(self, owner=f"{self.owner}{owner}/")

    def uniform(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Uniform numbers in [0, 1), (n, *shape), on the CPU. For small shapes."""
        return torch.stack([torch.rand(*shape, generator=self._generator(seed, purpose)) for seed in self.seeds])

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, (n, *shape), drawn on the device. For large shapes."""
        return torch.stack(
            [
                torch.randn(*shape, generator=self._generator(seed, purpose, self.device), device=self.device)
                for seed in self.seeds
            ]
        )

    def gumbel(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Standard Gumbel numbers, (n, *shape), drawn on the device. For large shapes."""
        blank = [torch.empty(*shape, device=self.device) for _ in self.seeds]
        draw = [self._generator(seed, purpose, self.device) for seed in self.seeds]
        return -torch.stack([each.exponential_(generator=g) for each, g in zip(blank, draw, strict=True)]).log()

    def _generator(self, seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
        return generator(seed, self.step, self.owner + purpose, device)
