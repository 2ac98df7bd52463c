"""Embeddings: a cache of encoded prompts."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from vqclip_nb.cutouts import Cutouts
from vqclip_nb.perceptors import Perceptor
from vqclip_nb.rng import Draws

_MOST_KEPT = 64


class Embeddings:
    """A cache of text and picture embeddings, by prompt, template and perceptor.

    The texts of one prompt are encoded and cached together: rounding may depend on the batch, and a resumed run, which
    knows only the last prompt, must get the same numbers.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Tensor] = {}

    def of_texts(self, perceptor: Perceptor, texts: Sequence[str], *, template: str = "{}") -> Tensor:
        """Texts, each put into the template in place of `{}` -> (m, d), unit length."""
        key = (perceptor, tuple(texts), template)
        return self._once(key, lambda: perceptor.encode_text([template.replace("{}", text) for text in texts]))

    def of_picture(
        self, perceptor: Perceptor, name: str, read: Callable[[], Tensor], cutouts: Cutouts, draws: Draws
    ) -> Tensor:
        """The embeddings of a picture's cutouts, other ones for each of n paintings: (n, cutn, d), unit length.

        `name` is the cache key of the picture; `read` returns it as (1, 3, H, W) RGB in [0, 1].
        """

        @torch.no_grad()
        def encoded() -> Tensor:
            count = len(draws.seeds)
            views = cutouts(read().expand(count, -1, -1, -1), draws)
            return perceptor.encode_image(views).unflatten(0, (count, -1))

        return self._once((perceptor, name, cutouts, draws), encoded)

    def _once(self, key: Hashable, encode: Callable[[], Tensor]) -> Tensor:
        """The cached value of this key, or a new one. Drops the least recently used values when the cache is full."""
        embedding = self._kept.pop(key, None)
        self._kept[key] = encode() if embedding is None else embedding  # most recently used last
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return self._kept[key]
