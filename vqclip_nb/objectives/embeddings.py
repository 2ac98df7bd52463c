"""Embeddings: prompts as perceptors see them, encoded once and kept."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from vqclip_nb.cutouts import Cutouts
from vqclip_nb.perceptors import Perceptor
from vqclip_nb.rng import Draws

_MOST_KEPT = 64


class Embeddings:
    """A cache of text and picture embeddings: only a prompt, template or perceptor that is new is encoded.

    Texts are encoded and kept as the group that stands in one prompt: a network may round a text's embedding otherwise
    in another group, and a resumed run, which knows only the last prompt, must find the same numbers.
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
        """The cutouts of a picture, drawn anew for each of the n pictures to be painted -> (n, cutn, d), unit length.

        `name` tells the picture from others, `read` gives it as (1, 3, H, W) RGB in [0, 1].
        """

        @torch.no_grad()
        def encoded() -> Tensor:
            count = len(draws.seeds)
            views = cutouts(read().expand(count, -1, -1, -1), draws)
            return perceptor.encode_image(views).unflatten(0, (count, -1))

        return self._once((perceptor, name, cutouts, draws), encoded)

    def _once(self, key: Hashable, encode: Callable[[], Tensor]) -> Tensor:
        """What is kept under this key, or is encoded now; the oldest is dropped where too much is kept."""
        found = self._kept.pop(key, None)
        self._kept[key] = encode() if found is None else found  # the newest stands last
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return self._kept[key]
