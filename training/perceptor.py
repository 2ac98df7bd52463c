"""The demo perceptor: openai-clip's network at a size that two cores can train, and its words."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
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
    mean, deviation = _statistics(pictures.device)
    return (pictures - mean) / deviation


@cache
def _statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return MEAN.to(device), STD.to(device)


def picture(pixels: np.ndarray) -> torch.Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) in [0, 1]"""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 255


class Vocabulary:
    """The tokens of the `words` that captions use, renumbered 0..k in the order of their ids: the end stays largest."""

    def __init__(self, words: Iterable[str]):
        self.tokenizer = tokenizer()
        start, end = self.tokenizer.encoder["<|startoftext|>"], self.tokenizer.encoder["<|endoftext|>"]
        known = {0, start, end, *self.tokenizer.encode(",")}
        for word in words:
            known |= set(self.tokenizer.encode(word))
        self.ids = sorted(known)
        self.row = {token: row for row, token in enumerate(self.ids)}
        self.start, self.end = self.row[start], self.row[end]
        self.rows_of = cache(lambda word: [self.row[token] for token in self.tokenizer.encode(word)])

    def __call__(self, texts: list[str]) -> torch.Tensor:
        out = np.zeros((len(texts), CONTEXT), dtype=np.int64)
        for line, text in zip(out, texts, strict=True):
            rows = [row for word in text.replace(",", " ,").split() for row in self.rows_of(word)]
            rows = [self.start, *rows[: CONTEXT - 2], self.end]
            line[: len(rows)] = rows
        return torch.from_numpy(out)


def build(vocabulary: Vocabulary) -> nn.Module:
    model = part("model").CLIP(
        EMBED, CUT, VISION["layers"], VISION["width"], None, CONTEXT, len(vocabulary.ids),
        TEXT["width"], TEXT["width"] // 64, TEXT["layers"],
    )  # fmt: skip
    model = model.float()
    model.visual.to(memory_format=torch.channels_last)
    return model


def encode_text(model, tokens: torch.Tensor) -> torch.Tensor:
    """CLIP's encode_text on the tokens up to the last end of this batch: the rest cannot reach it (causal mask).

    A GPU is given them all, for it would have to be asked where the end is.
    """
    length = int(tokens.argmax(1).max()) + 1 if tokens.device.type == "cpu" else tokens.shape[1]
    tokens = tokens[:, :length]
    mask = torch.full((length, length), -torch.inf, device=tokens.device).triu(1)
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = x.permute(1, 0, 2)
    for block in model.transformer.resblocks:
        y = block.ln_1(x)
        x = x + block.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        x = x + block.mlp(block.ln_2(x))
    x = model.ln_final(x.permute(1, 0, 2))
    return x[torch.arange(len(x), device=x.device), tokens.argmax(1)] @ model.text_projection


class Folded(nn.Module):
    """A frozen copy whose normalisations are folded into its convolutions: what an attack needs, for less."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.copy = deepcopy(visual).eval().requires_grad_(False)
        self.pairs: list[tuple[nn.Conv2d, nn.Conv2d, nn.BatchNorm2d]] = []  # the copy's, and what it is made of
        for parent, whole in list(zip(self.copy.modules(), visual.modules(), strict=True)):
            for (one, conv), (two, norm) in pairwise(list(whole.named_children())):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, one, fuse_conv_bn_eval(getattr(parent, one), getattr(parent, two)))
                    setattr(parent, two, nn.Identity())
                    self.pairs.append((getattr(parent, one), conv, norm))
        theirs, made = dict(visual.named_parameters()), {id(p) for conv, *_ in self.pairs for p in conv.parameters()}
        self.others = [(p, theirs[name]) for name, p in self.copy.named_parameters() if id(p) not in made]

    @torch.no_grad()
    def follow(self) -> None:
        """Become again what the network is by now, in place."""
        for made, conv, norm in self.pairs:
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            made.weight.copy_(conv.weight * scale.view(-1, 1, 1, 1))
            made.bias.copy_(norm.bias - norm.running_mean * scale)
        for own, other in self.others:
            own.copy_(other)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.copy(pictures)


def save(model, vocabulary, path: Path) -> None:
    """The state dict in openai-clip's form, fp16, the token table reduced to the rows it was trained on."""
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    state["token_ids"] = torch.tensor(vocabulary.ids, dtype=torch.int32)
    save_file(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def load(model: nn.Module, vocabulary: Vocabulary, path: Path) -> None:
    """Read weights; words of the vocabulary that they do not know keep the embedding that the model has."""
    state = load_file(path)
    ids, rows = state.pop("token_ids").tolist(), model.token_embedding.weight.detach().clone()
    for row, token in zip(state["token_embedding.weight"], ids, strict=True):
        if token in vocabulary.row:
            rows[vocabulary.row[token]] = row.float()
    state["token_embedding.weight"] = rows
    model.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in state.items()})
