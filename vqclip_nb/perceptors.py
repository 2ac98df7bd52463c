"""Perceptors: networks that embed pictures and texts in one space (CLIP, Radford et al., 2021)."""

import re
import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vqclip_nb.errors import PaintWarning


class Perceptor(Protocol):
    """Images are RGB in [0, 1], cut_size square; embeddings are float32 of unit length, (m, d)."""

    name: str
    cut_size: int

    def encode_image(self, batch: Tensor) -> Tensor: ...

    def encode_text(self, texts: Sequence[str]) -> Tensor: ...


class CLIPPerceptor(nn.Module):
    """openai-clip's model and tokenizer as a Perceptor. The model is frozen."""

    mean: Tensor
    std: Tensor
    sigmoid: tuple[float, float] | None = None  # scale and bias of the loss of a network trained as SigLIP is
    warns = True  # of words that the model does not know, or that exceed its context

    def __init__(self, name: str, clip: Any, tokenizer: Any) -> None:
        super().__init__()
        self.name = name
        self.clip = clip.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.cut_size, mean, std = self._sees(clip.visual)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def encode_image(self, batch: Tensor) -> Tensor:
        """(m, 3, cut, cut) RGB in [0, 1] -> (m, d), unit length."""
        return nn.functional.normalize(self.clip.encode_image((batch - self.mean) / self.std).float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (m, d), unit length. Warns of texts that are cut short and of words that the model does not know."""
        if self.warns and (words := dict.fromkeys(word for text in texts for word in self.unknown_words(text))):
            remedy = "--perceptor ViT-B/32 --canvas vqgan/imagenet_f16_16384 paint with one"
            message = f"perceptor {self.name} does not know: {', '.join(words)}. A larger model does"
            warnings.warn(f"{message}: `vqclip models` lists them, and {remedy}", PaintWarning, stacklevel=4)
        tokens = torch.tensor([self._tokens(text) for text in texts], device=self.mean.device)  # (m, context)
        return nn.functional.normalize(self.clip.encode_text(tokens).float(), dim=-1)

    def _sees(self, visual: Any) -> tuple[int, Sequence[float], Sequence[float]]:
        """The side of the model's input pictures, and the mean and standard deviation of their colours."""
        return visual.input_resolution, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

    def _tokens(self, text: str) -> list[int]:
        """The tokens of a text between start and end marks, padded with zeros to the model's context length."""
        start, end = (self.tokenizer.encoder[mark] for mark in ("<|startoftext|>", "<|endoftext|>"))
        room = self.clip.context_length - 2
        words = self.tokenizer.encode(text)
        if self.warns and (tail := self.tokenizer.decode(words[room:]).strip()):
            message = f"prompt is longer than the {room} tokens that perceptor {self.name} reads"
            warnings.warn(f"{message}; dropped: {shorten(tail)!r}", PaintWarning, stacklevel=4)
        tokens = [start, *words[:room], end]
        return tokens + [0] * (self.clip.context_length - len(tokens))

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that were not in the training captions, in order, once each."""
        vocabulary: set[int] | None = getattr(self.clip, "known_tokens", None)
        if vocabulary is None:
            return []
        words = dict.fromkeys(word for word in re.findall(r"[^\W_]+|\W", text.lower()) if _says_something(word))
        return [word for word in words if not vocabulary.issuperset(self.tokenizer.encode(word))]


class OpenCLIPPerceptor(CLIPPerceptor):
    """A model of open_clip_torch and its tokenizer, which cuts long texts itself: a CLIP, or a SigLIP."""

    def __init__(self, name: str, clip: Any, tokenizer: Any) -> None:
        super().__init__(name, clip, tokenizer)
        if (bias := getattr(clip, "logit_bias", None)) is not None:
            self.sigmoid = float(clip.logit_scale.exp()), float(bias)

    def _sees(self, visual: Any) -> tuple[int, Sequence[float], Sequence[float]]:
        side = visual.image_size
        return max(side) if isinstance(side, tuple | list) else side, visual.image_mean, visual.image_std

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer([text])[0].tolist()


def shorten(text: str, most: int = 60) -> str:
    """A text, shortened to `most` letters."""
    return text if len(text) <= most else text[:most].rstrip() + "…"


def _says_something(word: str) -> bool:
    """Whether it is a word, or a symbol with a meaning, such as an emoji; a comma is not."""
    return word.isalnum() or unicodedata.category(word) in ("So", "Sc", "Sm")


def load(name: str) -> list[CLIPPerceptor]:
    """The perceptors of this name, on the CPU: "ViT-B/32", "open_clip/ViT-B-32/laion2b_s34b_b79k", ...

    "demo" is two networks, which share the cutouts: they seldom make the same mistake. Raises models.UnknownModel,
    models.CannotFetch, models.BrokenWeights, and ImportError where a package is missing.
    """
    from vqclip_nb.models import shared

    return shared.load_once("perceptor", name, lambda: _load(name))


def _load(name: str) -> list[CLIPPerceptor]:
    from vqclip_nb import models

    if name.startswith(models.OPEN_CLIP):
        return [OpenCLIPPerceptor(name, *models.load_open_clip(name))]
    perceptors = []
    for which in range(len(models.info(name, "clip").weights) or 1):
        clip = models.load_clip(name, which=which)
        models.optimize_network(clip.visual)
        perceptors.append(CLIPPerceptor(f"{name}-{which + 1}" if which else name, clip, models.tokenizer()))
        perceptors[-1].warns = not which  # the first has warned already
    return perceptors
