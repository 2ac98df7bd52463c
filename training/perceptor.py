"""The demo perceptor: openai-clip's network at a size that two cores can train, and its words."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scenes import all_words
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vqclip_nb.models import tokenizer
from vqclip_nb.models.openai_clip import part

CUT, EMBED, CONTEXT = 64, 256, 32
VISION = {"layers": (2, 2, 2, 2), "width": 24}
TEXT = {"width": 128, "layers": 2}
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def normal(pictures: torch.Tensor) -> torch.Tensor:
    """As CLIP wants them: about zero, of about unit deviation."""
    return (pictures - MEAN.to(pictures)) / STD.to(pictures)


def picture(pixels: np.ndarray) -> torch.Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) in [0, 1]"""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 255


class Vocabulary:
    """The tokens of the words that captions use, renumbered 0..k in the order of their ids: the end stays largest."""

    def __init__(self):
        self.tokenizer = tokenizer()
        start, end = self.tokenizer.encoder["<|startoftext|>"], self.tokenizer.encoder["<|endoftext|>"]
        known = {0, start, end, *self.tokenizer.encode(",")}
        for word in all_words():
            known |= set(self.tokenizer.encode(word))
        self.ids = sorted(known)
        self.row = {token: row for row, token in enumerate(self.ids)}
        self.start, self.end = start, end

    def __call__(self, texts: list[str]) -> torch.Tensor:
        rows = [
            [self.row[t] for t in (self.start, *self.tokenizer.encode(text)[: CONTEXT - 2], self.end)] for text in texts
        ]
        out = torch.zeros(len(rows), CONTEXT, dtype=torch.long)
        for line, row in zip(out, rows, strict=True):
            line[: len(row)] = torch.tensor(row)
        return out


def build(vocabulary: Vocabulary) -> nn.Module:
    model = part("model").CLIP(
        EMBED, CUT, VISION["layers"], VISION["width"], None, CONTEXT, len(vocabulary.ids),
        TEXT["width"], TEXT["width"] // 64, TEXT["layers"],
    )  # fmt: skip
    model = model.float()
    model.visual.to(memory_format=torch.channels_last)
    return model


def encode_text(model, tokens: torch.Tensor) -> torch.Tensor:
    """CLIP's encode_text on the tokens up to the last end of this batch: the rest cannot reach it (causal mask)."""
    length = int(tokens.argmax(1).max()) + 1
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = x.permute(1, 0, 2)
    for block in model.transformer.resblocks:
        mask = model.attn_mask if hasattr(model, "attn_mask") else block.attn_mask
        y = block.ln_1(x)
        x = x + block.attn(y, y, y, need_weights=False, attn_mask=mask[:length, :length])[0]
        x = x + block.mlp(block.ln_2(x))
    x = model.ln_final(x.permute(1, 0, 2))
    return x[torch.arange(len(x)), tokens.argmax(1)] @ model.text_projection


def folded(visual: nn.Module) -> nn.Module:
    """A frozen copy whose normalisations are folded into its convolutions: what an attack needs, for less."""
    copy = deepcopy(visual).eval().requires_grad_(False)
    for parent in list(copy.modules()):
        for (one, conv), (two, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, one, fuse_conv_bn_eval(conv, norm))
                setattr(parent, two, nn.Identity())
    return copy


def save(model, vocabulary, path: Path) -> None:
    """The state dict in openai-clip's form, fp16, the token table reduced to the rows it was trained on."""
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    state["token_ids"] = torch.tensor(vocabulary.ids, dtype=torch.int32)
    save_file(state, path)


def load(model: nn.Module, path: Path) -> None:
    state = {key: value for key, value in load_file(path).items() if key != "token_ids"}
    model.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in state.items()})
