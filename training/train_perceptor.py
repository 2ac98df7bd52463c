"""Train the demo perceptor: a small CLIP that is first made right, then robust, then sharp.

A batch is made of groups of pictures that differ in one thing alone: the same colours around another shape, the same
place and light around other things, one scene in every style. Among pictures drawn at random colours tell the captions
apart, and a perceptor learns nothing of shapes.

The second phase is adversarial training (Madry et al., 2018) against the contrastive loss, in an L2 ball around each
picture: the gradients of a robust network follow what people see (Santurkar et al., 2019), and painting needs that. A
large ball makes whole regions, and in the third phase a smaller one edges.
"""

from __future__ import annotations

import argparse
import math
import time
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from augment import augment
from data import Scenes, seen
from safetensors.torch import load_file, save_file
from scenes import ATTRIBUTES, SHAPES, Scene, all_words, caption, labels
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vqclip_nb.device import FLOAT32, precision
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


def contrast(model, image, text) -> torch.Tensor:
    """CLIP's loss over a batch."""
    scale, image, text = model.logit_scale.exp().clamp(max=60), F.normalize(image, dim=1), F.normalize(text, dim=1)
    own = torch.arange(len(image), device=image.device)
    return (F.cross_entropy(scale * image @ text.T, own) + F.cross_entropy(scale * text @ image.T, own)) / 2


def folded(visual: nn.Module) -> nn.Module:
    """A frozen copy whose normalisations are folded into its convolutions: what an attack needs, for less."""
    copy = deepcopy(visual).eval().requires_grad_(False)
    for parent in list(copy.modules()):
        for (one, conv), (two, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, one, fuse_conv_bn_eval(conv, norm))
                setattr(parent, two, nn.Identity())
    return copy


def attack(model, heads, images, text, targets, *, radius: float, steps: int) -> torch.Tensor:
    """The pictures moved inside an L2 ball of `radius` to where the loss is largest (projected gradient ascent)."""
    clean, text, visual = images, text.detach(), folded(model.visual)
    norm = lambda x: x.flatten(1).norm(dim=1).clamp(min=1e-9).view(-1, 1, 1, 1)  # noqa: E731
    moved = clean + torch.randn_like(clean) * (0.5 * radius / clean[0].numel() ** 0.5)
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        image = visual(normal(moved)).float()
        loss = contrast(model, image, text) + heads(image, targets)
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + gradient / norm(gradient) * (1.5 * radius / steps)
        delta = moved - clean
        moved = clean + delta * (radius / norm(delta)).clamp(max=1)
    return moved.detach()


class Groups:
    """Batches of pictures no two of which show the same: a quarter at random, the others in groups.

    A group has one background, colour and style and a shape from each picture; or one place, time and style and other
    things in each; or all the same but the style.
    """

    GROUP = 8

    def __init__(self, wide: Scenes, many: Scenes, restyled: Scenes, rng: np.random.Generator) -> None:
        self.rng, self.small = rng, np.stack([seen(picture) for picture in wide.pictures])
        self.several = [*many.pictures, *restyled.pictures]
        self.scenes = [*wide.scenes, *many.scenes, *restyled.scenes]
        self.targets = torch.tensor([labels(scene) for scene in self.scenes])
        shapes: dict[tuple, dict[tuple, list[int]]] = {}
        places: dict[tuple, dict[tuple, list[int]]] = {}
        styles: dict[Scene, dict[tuple, list[int]]] = {}
        for index, scene in enumerate(self.scenes):
            if scene.shape:
                group = shapes.setdefault((scene.colour, scene.background, scene.style), {})
                group.setdefault((scene.shape,), []).append(index)
            else:
                group = places.setdefault((scene.place, scene.time, scene.style), {})
                things = (scene.main, scene.main_colour, scene.extra, scene.extra_colour)
                group.setdefault(things, []).append(index)
            plain = styles.setdefault(replace(scene, style=None), {})
            plain.setdefault((scene.style,), []).append(index)
        self.shapes = [list(group.values()) for group in shapes.values() if len(group) > self.GROUP // 2]
        self.places = [list(group.values()) for group in places.values() if len(group) >= self.GROUP]
        self.styles = [list(group.values()) for group in styles.values() if len(group) > self.GROUP // 2]

    def __call__(self, size: int) -> tuple[torch.Tensor, list[str], torch.Tensor, torch.Tensor]:
        """At most `size` (pictures in [0, 1], their captions, their labels, whether every attribute is said)."""
        rng, chosen = self.rng, []
        parts = ((self.shapes, 2 * size // 8), (self.places, 4 * size // 8), (self.styles, 6 * size // 8))
        for groups, until in parts:
            while len(chosen) < until:
                group = groups[rng.integers(len(groups))]
                chosen += [rng.choice(group[k]) for k in rng.permutation(len(group))[: self.GROUP]]
        chosen += rng.integers(len(self.scenes), size=max(0, size - len(chosen))).tolist()
        chosen = list({self.scenes[index]: int(index) for index in chosen[:size]}.values())
        whole = rng.random(len(chosen)) < 0.9
        texts = [caption(self.scenes[i], rng, whole=bool(w)) for i, w in zip(chosen, whole, strict=True)]
        pictures = picture(np.stack([self._pixels(index) for index in chosen]))
        mirrored = torch.rand(len(pictures), 1, 1, 1) < 0.5
        pictures = torch.where(mirrored, pictures.flip(3), pictures)
        return pictures, texts, self.targets[chosen], torch.from_numpy(whole).float()

    def _pixels(self, index: int) -> np.ndarray:
        if index < len(self.small):
            return self.small[index]
        several = self.several[index - len(self.small)]
        return several[self.rng.integers(len(several))]


def picture(pixels: np.ndarray) -> torch.Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) in [0, 1]"""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 255


@torch.no_grad()
def right_of_500(model, data: Scenes, small: np.ndarray, vocabulary) -> tuple[float, float]:
    """Of held-out pictures: the share whose own caption is the nearest of 500 with unequal attributes, and of shapes
    the share whose own caption is the nearest of the eight that name a shape in these colours."""
    chosen = list({scene: index for index, scene in enumerate(data.scenes)}.values())[:500]
    model.eval()
    place = next(model.parameters()).device
    embed = lambda texts: F.normalize(encode_text(model, vocabulary(texts).to(place)), dim=1)  # noqa: E731
    pictures = picture(small[chosen]).to(place)
    image = F.normalize(torch.cat([model.visual(normal(part)) for part in pictures.split(100)]), dim=1)
    nearest = (image @ embed([caption(data.scenes[i]) for i in chosen]).T).argmax(1).cpu()
    shapes = []
    for own, index in zip(image, chosen, strict=True):
        scene = data.scenes[index]
        if scene.shape:
            words = embed([caption(replace(scene, shape=shape)) for shape in SHAPES])
            shapes.append(SHAPES[int((words @ own).argmax())] == scene.shape)
    model.train()
    return float((nearest == torch.arange(len(chosen))).float().mean()), float(np.mean(shapes))


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
    parser.add_argument("--begin", type=Path, help="weights to begin with; the clean phase is then left out")
    parser.add_argument("--steps", type=int, default=800, help="steps on clean pictures")
    parser.add_argument("--robust-steps", type=int, default=5000, help="steps of adversarial training after them")
    parser.add_argument("--sharp-steps", type=int, default=800, help="steps of it in a smaller ball, last")
    parser.add_argument("--batch", type=int, default=128, help="pictures in a step")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--radius", type=float, default=2.5, help="of the L2 ball, pictures in [0, 1]")
    parser.add_argument("--sharp-radius", type=float, default=1.2, help="of the smaller one")
    parser.add_argument("--attack-steps", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng, place = np.random.default_rng(args.seed), torch.device(args.device)
    data, test = Scenes(args.work, 0, args.pictures, held_out=False), Scenes(args.work, 1, 600, held_out=True)
    many = Scenes(args.work, 77, 3000, held_out=False, each=10)
    small_test = np.stack([seen(scene) for scene in test.pictures])
    restyled = Scenes(args.work, 78, 7000, held_out=False, each=3, restyled=True)
    draw = Groups(data, many, restyled, rng)

    vocabulary = Vocabulary()
    model, heads, text_heads = (part.to(place) for part in (build(vocabulary), Heads(), Heads()))
    if args.begin:
        args.steps = 0
        begun = {key: value for key, value in load_file(args.begin).items() if key != "token_ids"}
        model.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in begun.items()})
    parameters = [*model.parameters(), *heads.parameters(), *text_heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.02, betas=(0.9, 0.98))
    phases = (
        ("clean", args.steps, 1.0, 0.0),
        ("robust", args.robust_steps, 0.5, args.radius),
        ("sharp", args.sharp_steps, 0.4, args.sharp_radius),
    )
    total = sum(length for _, length, _, _ in phases)

    def phase_of(step: int) -> tuple[str, int, int, float, float]:
        """(name, step in the phase, its length, its peak rate, its radius)"""
        for name, length, peak, radius in phases:
            if step < length:
                return name, step, length, peak, radius
            step -= length
        return name, length, length, peak, radius

    def rate(step: int) -> float:  # each phase rises for 40 steps and falls along a cosine
        _, step, length, peak, _ = phase_of(step)
        return peak * min(1, (step + 1) / 40) * (0.06 + 0.94 * 0.5 * (1 + math.cos(math.pi * step / max(1, length))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    parts = {"model": model, "heads": heads, "text": text_heads, "optimizer": optimizer, "schedule": schedule}
    checkpoint, step = args.work / "perceptor.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=place)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step, draw.rng = state["step"], np.random.default_rng((args.seed, state["step"]))

    began = time.time()
    half = FLOAT32 if precision(place).scaled else precision(place)
    while step < total:
        phase, step_in_phase, length, _, radius = phase_of(step)
        pictures, texts, targets, whole = draw(args.batch)
        pictures, targets, whole = (part.to(place) for part in (pictures, targets, whole))
        pictures = augment(pictures).contiguous(memory_format=torch.channels_last)
        with half.within(place):
            text = encode_text(model, vocabulary(texts).to(place)).float()
            if radius:
                radius *= min(1.0, 0.2 + step_in_phase / (0.4 * length))
                pictures = attack(model, heads, pictures, text, targets, radius=radius, steps=args.attack_steps)
            image = model.visual(normal(pictures)).float()
        pull = contrast(model, image, text)
        loss = pull + heads(image, targets) + 0.3 * text_heads(text, targets, whole)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        if step % 20 == 0 or step == total:
            told = f"loss {loss.item():.3f} contrast {pull.item():.3f}"
            print(f"{step:5d}/{total} {phase:7s} {told} {time.time() - began:.0f} s", flush=True)
        if step % 100 == 0 or step in (args.steps, total):
            whole_caption, shape = right_of_500(model, test, small_test, vocabulary)
            print(f"      right of 500: {whole_caption:.3f}, right shape of eight: {shape:.3f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            if step == args.steps:
                save(model, vocabulary, args.work / "clip-clean.safetensors")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save(model, vocabulary, args.out)


if __name__ == "__main__":
    main()
