"""Train the demo perceptor: a small CLIP that is first made right, then robust, then hard to please.

The second phase is adversarial training (Madry et al., 2018) against the contrastive loss, in an L2 ball around each
picture: the gradients of a robust network follow what people see (Santurkar et al., 2019), and painting needs that.

The third phase also shows it pictures painted by following its own gradient from noise, as what does not fit the words
that they were painted for. Without it colours and regions come right and things do not, since a blot can please it more
than a house does. It is a generator's critic, with its own painting for a generator.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from augment import augment
from data import Scenes
from safetensors.torch import save_file
from scenes import ATTRIBUTES, all_words, caption, labels
from torch import nn

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


class Heads(nn.Module):
    """Linear readings of each attribute from an embedding; a help in training, thrown away after it."""

    def __init__(self):
        super().__init__()
        self.each = nn.ModuleList(nn.Linear(EMBED, len(options)) for options in ATTRIBUTES.values())

    def forward(self, embedding, targets, weight=None):
        """Mean cross-entropy; rows of weight 0 do not count."""
        losses = sum(
            F.cross_entropy(head(embedding), targets[:, k], reduction="none") for k, head in enumerate(self.each)
        )
        weight = torch.ones_like(losses) if weight is None else weight
        return (losses * weight).sum() / weight.sum().clamp(min=1) / len(self.each)


def contrast(model, image, text, painted=None) -> torch.Tensor:
    """CLIP's loss over a batch; a text's picture must be nearer than the `painted` embeddings, too."""
    scale, image, text = model.logit_scale.exp().clamp(max=60), F.normalize(image, dim=1), F.normalize(text, dim=1)
    seen = image if painted is None else torch.cat([image, F.normalize(painted, dim=1)])
    own = torch.arange(len(image), device=image.device)
    return (F.cross_entropy(scale * image @ text.T, own) + F.cross_entropy(scale * text @ seen.T, own)) / 2


class Painted:
    """Pictures painted for captions of training scenes, a few steps at each visit; now and then one begins anew."""

    def __init__(self, count: int, scenes: int, rng: np.random.Generator, place: torch.device):
        self.rng, self.place = rng, place
        self.owner = rng.integers(scenes, size=count)  # whose caption each is painted for
        self.pictures = self._noise(count)

    def choose(self, count: int) -> np.ndarray:
        """Places to visit, the scenes that own them all different."""
        places = self.rng.permutation(len(self.owner))
        _, first = np.unique(self.owner[places], return_index=True)
        return places[first[:count]]

    def paint(self, model, places: np.ndarray, text: torch.Tensor, steps: int = 3, rate: float = 0.04) -> torch.Tensor:
        """The pictures at these places after some more steps towards their texts' embeddings: (m, 3, CUT, CUT)."""
        anew = places[self.rng.random(len(places)) < 0.06]
        self.pictures[anew] = self._noise(len(anew))
        pictures, text = self.pictures[places], F.normalize(text.detach(), dim=1)
        model.eval()
        for _ in range(steps):
            pictures = pictures.detach().requires_grad_()
            image = F.normalize(model.visual(normal(augment(pictures))), dim=1)
            (gradient,) = torch.autograd.grad((image * text).sum(), pictures)
            gradient = F.avg_pool2d(F.avg_pool2d(gradient, 3, 1, 1), 3, 1, 1)
            size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
            pictures = (pictures.detach() + rate * gradient / size).clamp(0, 1)
        model.train()
        self.pictures[places] = pictures
        return pictures

    def _noise(self, count: int) -> torch.Tensor:
        return F.interpolate(torch.rand(count, 3, 6, 6, device=self.place), size=(CUT, CUT), mode="bicubic").clamp(0, 1)


def attack(model, heads, images, text, targets, *, radius: float, steps: int) -> torch.Tensor:
    """The pictures moved inside an L2 ball of `radius` to where the loss is largest (projected gradient ascent)."""
    clean, text = images, text.detach()
    norm = lambda x: x.flatten(1).norm(dim=1).clamp(min=1e-9).view(-1, 1, 1, 1)  # noqa: E731
    moved = clean + torch.randn_like(clean) * (0.5 * radius / clean[0].numel() ** 0.5)
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        image = model.visual(normal(moved))
        loss = contrast(model, image, text) + heads(image, targets)
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + gradient / norm(gradient) * (1.5 * radius / steps)
        delta = moved - clean
        moved = clean + delta * (radius / norm(delta)).clamp(max=1)
    return moved.detach()


def batches(data: Scenes, small: np.ndarray, vocabulary, size: int, rng: np.random.Generator, painted: Painted):
    """Endless (pictures in [0, 1], tokens, targets, whole, places); the first rows are the owners of those places."""
    targets = torch.tensor([labels(scene) for scene in data.scenes])
    while True:
        places = painted.choose(size // 3)
        chosen = np.concatenate([painted.owner[places], rng.integers(len(small), size=size - len(places))])
        whole = rng.random(size) < 0.8
        whole[: len(places)] = True
        texts = [caption(data.scenes[i], rng, whole=w) for i, w in zip(chosen, whole, strict=True)]
        pictures = torch.from_numpy(small[chosen]).permute(0, 3, 1, 2).float() / 255
        yield pictures, vocabulary(texts), targets[chosen], torch.from_numpy(whole).float(), places


@torch.no_grad()
def right_of_500(model, data: Scenes, small: np.ndarray, vocabulary) -> float:
    """The share of held-out pictures whose own caption is the nearest of 500 with unequal attributes."""
    seen, chosen = set(), []
    for index, scene in enumerate(data.scenes):
        if scene not in seen and len(chosen) < 500:
            seen.add(scene)
            chosen.append(index)
    model.eval()
    place = next(model.parameters()).device
    pictures = torch.from_numpy(small[chosen]).permute(0, 3, 1, 2).to(place).float() / 255
    image = F.normalize(torch.cat([model.visual(normal(part)) for part in pictures.split(100)]), dim=1)
    text = F.normalize(encode_text(model, vocabulary([caption(data.scenes[i]) for i in chosen]).to(place)), dim=1)
    model.train()
    return float(((image @ text.T).argmax(1).cpu() == torch.arange(len(chosen))).float().mean())


def shrink(pictures: np.ndarray) -> np.ndarray:
    """Average down to the perceptor's size, in parts: (n, 256, 256, 3) -> (n, 64, 64, 3) uint8."""
    factor = pictures.shape[1] // CUT
    parts = []
    for first in range(0, len(pictures), 256):
        part = pictures[first : first + 256].astype(np.float32)
        parts.append(part.reshape(len(part), CUT, factor, CUT, factor, 3).mean((2, 4)).round().astype(np.uint8))
    return np.concatenate(parts)


def save(model, vocabulary, path: Path) -> None:
    """The state dict in openai-clip's form, fp16, the token table reduced to the rows it was trained on."""
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    state["token_ids"] = torch.tensor(vocabulary.ids, dtype=torch.int32)
    save_file(state, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/cache"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("vqclip_nb/models/demo/clip.safetensors"))
    parser.add_argument("--pictures", type=int, default=14000)
    parser.add_argument("--steps", type=int, default=800, help="steps on clean pictures")
    parser.add_argument("--robust-steps", type=int, default=500, help="steps of adversarial training after them")
    parser.add_argument("--painted-steps", type=int, default=1360, help="steps that also see painted pictures, last")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--radius", type=float, default=2.5, help="of the L2 ball, pictures in [0, 1]")
    parser.add_argument("--attack-steps", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    data, test = Scenes(args.work, 0, args.pictures, held_out=False), Scenes(args.work, 1, 600, held_out=True)
    small, small_test = shrink(data.pictures), shrink(test.pictures)

    vocabulary = Vocabulary()
    place = torch.device(args.device)
    model, heads, text_heads = (part.to(place) for part in (build(vocabulary), Heads(), Heads()))
    parameters = [*model.parameters(), *heads.parameters(), *text_heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.02, betas=(0.9, 0.98))
    phases = (("clean", args.steps, 1.0), ("robust", args.robust_steps, 0.4), ("painted", args.painted_steps, 0.25))
    total = sum(length for _, length, _ in phases)

    def phase_of(step: int) -> tuple[str, int, int, float]:
        """(name, step in the phase, its length, its peak rate)"""
        for name, length, peak in phases:
            if step < length:
                return name, step, length, peak
            step -= length
        return name, length, length, peak

    def rate(step: int) -> float:  # each phase rises for 40 steps and falls along a cosine
        _, step, length, peak = phase_of(step)
        return peak * min(1, (step + 1) / 40) * (0.06 + 0.94 * 0.5 * (1 + math.cos(math.pi * step / max(1, length))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    parts = {"model": model, "heads": heads, "text": text_heads, "optimizer": optimizer, "schedule": schedule}
    checkpoint, step = args.work / "perceptor.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=place)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step = state["step"]
        rng = np.random.default_rng((args.seed, step))

    began, painted = time.time(), Painted(192, len(small), rng, place)
    for pictures, tokens, targets, whole, places in batches(data, small, vocabulary, args.batch, rng, painted):
        if step >= total:
            break
        phase, step_in_phase, _, _ = phase_of(step)
        pictures, tokens, targets, whole = (part.to(place) for part in (pictures, tokens, targets, whole))
        pictures = augment(pictures).contiguous(memory_format=torch.channels_last)
        text = encode_text(model, tokens)
        if phase != "clean":
            grown = min(1.0, (step_in_phase + 1) / 60) if phase == "robust" else 1.0
            radius = args.radius * grown
            pictures = attack(model, heads, pictures, text, targets, radius=radius, steps=args.attack_steps)
        if phase == "painted":
            fakes = painted.paint(model, places, text[: len(places)])
            pictures = torch.cat([pictures, augment(fakes)])
        image = model.visual(normal(pictures))
        image, fake = image[: len(text)], image[len(text) :]
        pull = contrast(model, image, text, fake)
        loss = pull + heads(image, targets) + 0.3 * text_heads(text, targets, whole)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        if step % 20 == 0 or step == total:
            told = f"{step:5d}/{total} {phase:7s} loss {loss.item():.3f} contrast {pull.item():.3f}"
            if phase == "painted":  # how near the texts are to their own pictures, and to those painted for them
                near = (
                    F.normalize(text[: len(fake)], dim=1)[None]
                    * F.normalize(torch.stack([image[: len(fake)], fake]), dim=2)
                ).sum(2)
                told += f" cosine {near[0].mean().item():.2f} painted {near[1].mean().item():.2f}"
            print(f"{told} {time.time() - began:.0f} s", flush=True)
        if step % 100 == 0 or step in (args.steps, total):
            print(f"      right of 500: {right_of_500(model, test, small_test, vocabulary):.3f}", flush=True)
            torch.save(
                {name: part.state_dict() for name, part in parts.items()} | {"step": step},
                checkpoint.with_suffix(".part"),
            )
            checkpoint.with_suffix(".part").replace(checkpoint)
            if step == args.steps:
                save(model, vocabulary, args.work / "clip-clean.safetensors")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save(model, vocabulary, args.out)


if __name__ == "__main__":
    main()
