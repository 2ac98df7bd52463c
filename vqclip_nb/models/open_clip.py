"""Perceptors of the open_clip_torch extra: the same seam, other networks ("open_clip/ViT-B-32/laion2b_s34b_b79k")."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vqclip_nb.models.catalog import UnknownModel, home
from vqclip_nb.models.errors import CannotFetch

PREFIX = "open_clip/"


class OpenCLIPPerceptor(nn.Module):
    """An open_clip model and its tokenizer as a Perceptor: RGB in [0, 1], cut_size square, in; unit float32 out."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.name = name
        self.clip = model.float().eval().requires_grad_(False)
        self.tokenizer = tokenizer
        size = model.visual.image_size
        self.cut_size: int = size[0] if isinstance(size, (tuple, list)) else size
        self.register_buffer("mean", torch.tensor(model.visual.image_mean)[:, None, None])
        self.register_buffer("std", torch.tensor(model.visual.image_std)[:, None, None])

    def encode_image(self, batch: Tensor) -> Tensor:
        """(m, 3, cut, cut) RGB in [0, 1] -> (m, d), unit length"""
        return nn.functional.normalize(self.clip.encode_image((batch - self.mean) / self.std).float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (m, d), unit length; open_clip's tokenizer cuts what is too long."""
        tokens = self.tokenizer(list(texts)).to(self.mean.device)
        return nn.functional.normalize(self.clip.encode_text(tokens).float(), dim=-1)


def load_open_clip(name: str) -> OpenCLIPPerceptor:
    """The perceptor "open_clip/MODEL/PRETRAINED", on the CPU, fetched by open_clip into this package's cache folder.

    Raises `ImportError` without the extra, `UnknownModel` for a name that open_clip does not list, `CannotFetch`.
    """
    if os.environ.get("VQCLIP_OFFLINE"):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when open_clip is imported
    try:
        import open_clip
    except ImportError:
        raise ImportError(f"perceptor {name!r} needs the extra: `pip install vqclip_nb[open_clip]`") from None

    model_name, _, tag = name.removeprefix(PREFIX).rpartition("/")
    if (model_name, tag) not in open_clip.list_pretrained():
        tags = open_clip.list_pretrained_tags_by_model(model_name)
        near = difflib.get_close_matches(tag, tags, n=5, cutoff=0)
        known = (
            f"the closest of {model_name} are {', '.join(near)}" if tags else "`open_clip.list_pretrained()` lists them"
        )
        raise UnknownModel(f"there is no open_clip model {name!r} (open_clip/MODEL/PRETRAINED); {known}")
    try:
        model = open_clip.create_model(model_name, pretrained=tag, cache_dir=str(home() / "open_clip"))
    except (OSError, RuntimeError) as wrong:
        raise CannotFetch(f"{name} could not be fetched ({str(wrong).splitlines()[0]}); try again later") from None
    return OpenCLIPPerceptor(name, model, open_clip.get_tokenizer(model_name))
