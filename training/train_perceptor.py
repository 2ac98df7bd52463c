"""Train the demo perceptor: a small CLIP that is first made right, then robust, then a guide.

The second phase is adversarial training (Madry et al., 2018) against the contrastive loss, in an L2 ball around each
picture: the gradients of a robust network follow what people see (Santurkar et al., 2019), and painting needs that.

The third phase trains the gradient itself, to lead from any picture to a true one (flow.py). It also shows the network
the pictures that it is painting, as what does not fit their words: otherwise a blot can please it more than a house.
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
from data import Scenes, seen
from flow import Painted, flow_error, nearest, spoiled, starts, views
from safetensors.torch import save_file
from scenes import ATTRIBUTES, all_words, caption, labels
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

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


def batches(data: Scenes, small: np.ndarray, vocabulary, size: int, rng: np.random.Generator):
    """Endless (pictures in [0, 1], tokens, targets, whether every attribute is said)."""
    targets = torch.tensor([labels(scene) for scene in data.scenes])
    while True:
        chosen, whole = rng.integers(len(small), size=size), rng.random(size) < 0.8
        texts = [caption(data.scenes[i], rng, whole=w) for i, w in zip(chosen, whole, strict=True)]
        yield picture(small[chosen]), vocabulary(texts), targets[chosen], torch.from_numpy(whole).float()


def picture(pixels: np.ndarray) -> torch.Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) in [0, 1]"""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 255


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
    pictures = picture(small[chosen]).to(place)
    image = F.normalize(torch.cat([model.visual(normal(part)) for part in pictures.split(100)]), dim=1)
    text = F.normalize(encode_text(model, vocabulary([caption(data.scenes[i]) for i in chosen]).to(place)), dim=1)
    model.train()
    return float(((image @ text.T).argmax(1).cpu() == torch.arange(len(chosen))).float().mean())


def save(model, vocabulary, path: Path) -> None:
    """The state dict in openai-clip's form, fp16, the token table reduced to the rows it was trained on."""
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    state["token_ids"] = torch.tensor(vocabulary.ids, dtype=torch.int32)
    save_file(state, path)


class Flow:
    """One step of the third phase at a call. The words stay as they are, and so do the norms' statistics."""

    def __init__(self, model, heads, vocabulary, data: Scenes, rng: np.random.Generator, place: torch.device) -> None:
        self.model, self.heads, self.vocabulary, self.data, self.rng, self.place = (
            model, heads, vocabulary, data, rng, place
        )  # fmt: skip
        self.targets = torch.tensor([labels(scene) for scene in data.scenes])
        self.begun = starts(800).to(place)
        self.painted = Painted(128, len(data.scenes), self.begun, rng)
        self.scale = nn.Parameter(torch.tensor(math.log(300.0), device=place))  # of the gradient, as a logarithm

    def __call__(self, batch: int) -> tuple[torch.Tensor, dict[str, float]]:
        """(loss, what to tell of it); three of eight pictures are being painted, the others are spoiled true ones."""
        rng, data = self.rng, self.data
        places = self.painted.choose(3 * batch // 8)
        fresh = rng.integers(len(data.scenes), size=batch - len(places))
        owners = np.concatenate([fresh, self.painted.owner[places]])
        texts = [caption(data.scenes[i], rng, whole=bool(rng.random() < 0.85)) for i in owners]
        with torch.no_grad():
            text = encode_text(self.model, self.vocabulary(texts).to(self.place))
        words = F.normalize(text, dim=1)

        true = self._pictures(fresh)
        others = self._pictures(rng.integers(len(data.scenes), size=len(fresh)))
        begun = self.begun[rng.integers(len(self.begun), size=len(fresh))]
        painted = self.painted.paint(self._encode, places, words[len(fresh) :])
        there = nearest(
            painted, picture(np.stack([data.pictures[i] for i in self.painted.owner[places]])).to(self.place)
        )
        now = torch.cat([spoiled(true, others, begun, rng), painted])
        true = torch.cat([true, there])

        (now, goal), noise = views([now, true], rng)
        way, now = goal - now, (now + noise).requires_grad_()
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            seen_now = self._encode(now)
            cosine = (seen_now * words).sum(1)
            (gradient,) = torch.autograd.grad(cosine.sum(), now, create_graph=True)
        error = flow_error(gradient, way, self.scale.exp())

        (clean,), noise = views([true], rng)
        image = self.model.visual(normal(clean + noise))
        pull = contrast(self.model, image, text, seen_now[len(fresh) :])
        loss = error.mean() + pull + 0.2 * self.heads(image, self.targets[owners].to(self.place))
        told = {"spoiled": error[: len(fresh)].mean(), "painted": error[len(fresh) :].mean(), "contrast": pull}
        return loss, {name: float(value.detach()) for name, value in told.items()}

    def _pictures(self, chosen: np.ndarray) -> torch.Tensor:
        which = self.rng.integers(self.data.pictures.shape[1], size=len(chosen))
        return picture(np.stack([self.data.pictures[i, k] for i, k in zip(chosen, which, strict=True)])).to(self.place)

    def _encode(self, pictures: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.model.visual(normal(pictures)), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/cache"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("vqclip_nb/models/demo/clip.safetensors"))
    parser.add_argument("--pictures", type=int, default=14000)
    parser.add_argument("--steps", type=int, default=800, help="steps on clean pictures")
    parser.add_argument("--robust-steps", type=int, default=500, help="steps of adversarial training after them")
    parser.add_argument("--flow-steps", type=int, default=2000, help="steps that train the gradient, last")
    parser.add_argument("--batch", type=int, default=128, help="pictures in a step; half as many in the last phase")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--radius", type=float, default=2.5, help="of the L2 ball, pictures in [0, 1]")
    parser.add_argument("--attack-steps", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng, place = np.random.default_rng(args.seed), torch.device(args.device)
    data, test = Scenes(args.work, 0, args.pictures, held_out=False), Scenes(args.work, 1, 600, held_out=True)
    many = Scenes(args.work, 77, 3000, held_out=False, each=10)
    small, small_test = (np.stack([seen(scene) for scene in each.pictures]) for each in (data, test))

    vocabulary = Vocabulary()
    model, heads, text_heads = (part.to(place) for part in (build(vocabulary), Heads(), Heads()))
    flow = Flow(model, heads, vocabulary, many, rng, place)
    parameters = [*model.parameters(), *heads.parameters(), *text_heads.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": parameters}, {"params": [flow.scale], "lr": 10 * args.lr, "weight_decay": 0.0}],
        lr=args.lr, weight_decay=0.02, betas=(0.9, 0.98),
    )  # fmt: skip
    phases = (("clean", args.steps, 1.0), ("robust", args.robust_steps, 0.4), ("flow", args.flow_steps, 0.5))
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
        step, flow.scale.data = state["step"], state["scale"].to(place)
        rng = flow.rng = flow.painted.rng = np.random.default_rng((args.seed, step))

    began = time.time()
    words = batches(data, small, vocabulary, args.batch, rng)
    while step < total:
        phase, step_in_phase, _, _ = phase_of(step)
        if phase == "flow":
            still(model)
            loss, told = flow(args.batch // 2)
        else:
            pictures, tokens, targets, whole = (part.to(place) for part in next(words))
            pictures = augment(pictures).contiguous(memory_format=torch.channels_last)
            text = encode_text(model, tokens)
            if phase == "robust":
                radius = args.radius * min(1.0, (step_in_phase + 1) / 60)
                pictures = attack(model, heads, pictures, text, targets, radius=radius, steps=args.attack_steps)
            image = model.visual(normal(pictures))
            pull = contrast(model, image, text)
            loss = pull + heads(image, targets) + 0.3 * text_heads(text, targets, whole)
            told = {"contrast": pull.item()}
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        if step % 20 == 0 or step == total:
            numbers = " ".join(f"{name} {value:.3f}" for name, value in told.items())
            print(
                f"{step:5d}/{total} {phase:7s} loss {loss.item():.3f} {numbers} {time.time() - began:.0f} s", flush=True
            )
        if step % 100 == 0 or step in (args.steps, total):
            print(f"      right of 500: {right_of_500(model, test, small_test, vocabulary):.3f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()} | {"step": step, "scale": flow.scale.data}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            if step == args.steps:
                save(model, vocabulary, args.work / "clip-clean.safetensors")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save(model, vocabulary, args.out)


def still(model) -> None:
    """The norms of the picture's network keep their statistics, and the words their places."""
    for module in model.visual.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("visual.") or name == "logit_scale")


if __name__ == "__main__":
    main()
