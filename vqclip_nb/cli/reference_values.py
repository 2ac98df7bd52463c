"""Reference values: results that the published models must reproduce, to check downloads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vqclip_nb.models import openai_clip
from vqclip_nb.models.catalog import Entry, Source
from vqclip_nb.models.vqgan import VQGAN

# The example in the README of openai/CLIP: probabilities of these texts for its picture, by ViT-B/32.
CLIP_TEXTS = ("a diagram", "a dog", "a cat")
CLIP_PROBABILITIES = (0.9927937, 0.00421068, 0.00299572)
CLIP_TOLERANCE = 0.002  # for float32 instead of float16, and another version of Pillow's resampling
CLIP_PICTURE = Entry(
    "anchors",
    "diagram",
    licence="MIT (OpenAI)",
    sources=(
        Source(
            "CLIP.png",
            ("https://raw.githubusercontent.com/openai/CLIP/main/CLIP.png",),
            252_444,
            "308a3ca4503f1c7a07803916c369d78c4ef501e5ab7fc727da9b5e1d2f9ec85b",
        ),
    ),
)
# "Chelsea the cat" of scikit-image. Correct weights of a VQGAN that downsamples by 16 give about 20 dB,
# wrong ones less than 14.
PHOTO = Entry(
    "anchors",
    "cat",
    licence="CC0 (Stefan van der Walt)",
    sources=(
        Source(
            "chelsea.png",
            (
                "https://gitlab.com/scikit-image/data/-/raw/5c090b56df3988d988ff97928e2ef2d2cbe38e1b/chelsea.png",
                "https://raw.githubusercontent.com/scikit-image/scikit-image/v0.20.0/skimage/data/chelsea.png",
            ),
            240_512,
            "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        ),
    ),
)
MIN_PSNR = 17.0  # dB


@torch.no_grad()
def clip_probabilities(model: Any, path: Path) -> tuple[float, ...]:
    """A CLIP's probabilities of the three texts for a picture, computed as in its README."""
    tokens = openai_clip.tokenizer()
    start, end = (tokens.encoder[mark] for mark in ("<|startoftext|>", "<|endoftext|>"))
    rows = [[start, *tokens.encode(text), end] for text in CLIP_TEXTS]
    text = torch.tensor([row + [0] * (model.context_length - len(row)) for row in rows])
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    image = (_square(path, model.visual.input_resolution) - mean) / std
    logits, _ = model(image, text)
    return tuple(logits.softmax(-1)[0].tolist())


@torch.no_grad()
def psnr(model: VQGAN, path: Path, *, side: int = 256) -> float:
    """The peak signal-to-noise ratio in dB of a photo reconstructed by a VQGAN through its codes, at `side` pixels."""
    image = _square(path, side)
    z = model.encode(image * 2 - 1)  # (1, c, h, w)
    flat = z.movedim(1, -1).flatten(0, 2)
    codes = model.codebook[torch.cdist(flat, model.codebook).argmin(1)].view_as(z.movedim(1, -1)).movedim(-1, 1)
    reconstruction = ((model.decode(codes) + 1) / 2).clamp(0, 1)
    return -10 * math.log10(nn.functional.mse_loss(reconstruction, image).item())


def _square(path: Path, side: int) -> Tensor:
    """The centre of a picture as RGB in [0, 1], (1, 3, side, side): bicubic resize of the shorter side, then crop."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as file:
        pil = file.convert("RGB")
    scale = side / min(pil.size)
    pil = pil.resize((max(side, int(pil.width * scale)), max(side, int(pil.height * scale))), Image.Resampling.BICUBIC)
    left, top = round((pil.width - side) / 2), round((pil.height - side) / 2)
    pil = pil.crop((left, top, left + side, top + side))
    return torch.from_numpy(np.asarray(pil).copy()).movedim(-1, 0)[None] / 255
