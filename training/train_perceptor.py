"""Train the demo perceptor: a small CLIP that is first made right, then robust, then sharp, and learns from paintings.

A batch is made of groups of pictures that differ in one thing alone: the same colours around another shape, the same
place and light around other things, one scene with a house, a castle, a tree, and one scene in every style. Among
pictures drawn at random colours tell the captions apart, and a perceptor learns nothing of shapes.

The second phase is adversarial training (Madry et al., 2018) against the contrastive loss, in an L2 ball around each
picture: the gradients of a robust network follow what people see (Santurkar et al., 2019), and painting needs that. A
large ball makes whole regions, and in the third phase a smaller one edges.

In the fourth phase pictures are painted for captions all the while, and true ones must fit those captions better.

The contrast leaves texts far from the pictures they name, in a direction that exaggerates what tells them apart, and a
painting that follows it goes past every true picture. So from the fourth phase on a text learns the mean of its
pictures instead, and the last phase trains nothing else.
"""

from __future__ import annotations

import argparse
import math
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from augment import augment
from chains import Chains, against_paintings
from data import Scenes
from groups import Groups
from perceptor import EMBED, Folded, build, encode_text, load, normal, picture, save
from recorded import Recorded
from scenes import SHAPES
from store import Store, vocabulary
from thing_data import Things
from things import NOUNS
from torch import nn
from words import learn_words, said
from world import ATTRIBUTES, caption

from vqclip_nb.device import FLOAT32, precision

WORDS = 25  # seconds that --minutes leaves for the last phase


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


class Layout(nn.Module):
    """A linear reading of where colours lie, as a picture of 8 x 8; a help in training, thrown away after it."""

    def __init__(self):
        super().__init__()
        self.read = nn.Linear(EMBED, 3 * 8 * 8)

    def forward(self, embedding, pictures):
        """Mean squared error; it reads directions alone, for only they are compared with texts."""
        read = self.read(F.normalize(embedding, dim=1) * EMBED**0.5)
        return F.mse_loss(read, F.adaptive_avg_pool2d(pictures, 8).flatten(1))


def contrast(model, image, text) -> torch.Tensor:
    """CLIP's loss over a batch."""
    scale, image, text = model.logit_scale.exp().clamp(max=60), F.normalize(image, dim=1), F.normalize(text, dim=1)
    own = torch.arange(len(image), device=image.device)
    return (F.cross_entropy(scale * image @ text.T, own) + F.cross_entropy(scale * text @ image.T, own)) / 2


def attack(model, visual, heads, images, text, targets, *, radius: torch.Tensor, steps: int) -> torch.Tensor:
    """The pictures moved, each inside an L2 ball of its `radius` (n, 1, 1, 1), to where the loss is largest for
    `visual`, the model's own folded (projected gradient ascent)."""
    clean, text = images, text.detach()
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


@torch.no_grad()
def right_of_500(model, data: Scenes) -> tuple[float, float]:
    """Of held-out pictures: the share whose own caption is the nearest of 500 with unequal attributes, and of shapes
    the share whose own caption is the nearest of the eight that name a shape in these colours."""
    chosen = list({scene: index for index, scene in enumerate(data.scenes)}.values())[:500]
    model.eval()
    place, scenes = next(model.parameters()).device, [data.scenes[index] for index in chosen]
    embed = lambda texts: F.normalize(encode_text(model, vocabulary()(texts).to(place)), dim=1)  # noqa: E731
    pictures = picture(data.pictures[chosen, 0]).to(place)
    image = F.normalize(torch.cat([model.visual(normal(part)) for part in pictures.split(100)]), dim=1)
    nearest = (image @ embed([caption(scene) for scene in scenes]).T).argmax(1).cpu()
    shaped = [k for k, scene in enumerate(scenes) if scene.shape]
    words = embed([caption(replace(scenes[k], shape=shape)) for k in shaped for shape in SHAPES])
    named = torch.einsum("kse,ke->ks", words.view(len(shaped), len(SHAPES), -1), image[shaped]).argmax(1).tolist()
    model.train()
    shapes = [SHAPES[name] == scenes[k].shape for name, k in zip(named, shaped, strict=True)]
    return float((nearest == torch.arange(len(chosen))).float().mean()), float(np.mean(shapes))


@torch.no_grad()
def right_noun(model, data: Things) -> tuple[float, float]:
    """Of held-out pictures of one thing: the share whose noun is the nearest of all, and one of the nearest five."""
    model.eval()
    place, chosen = next(model.parameters()).device, [k for k, thing in enumerate(data.scenes) if not thing.second][:60]
    right = []
    for k in chosen:
        texts = [caption(replace(data.scenes[k], noun=noun)) for noun in NOUNS]
        text = F.normalize(encode_text(model, vocabulary()(texts).to(place)), dim=1)
        image = F.normalize(model.visual(normal(picture(data.pictures[k]).to(place))), dim=1)
        nearest = (text @ image[0]).topk(5).indices.tolist()
        right.append((NOUNS[nearest[0]] == data.scenes[k].noun, data.scenes[k].noun in [NOUNS[n] for n in nearest]))
    model.train()
    first, five = np.mean(right, 0)
    return float(first), float(five)


def held_out(model, test: list[Scenes | Things]) -> str:
    """What it tells apart on pictures that no training saw, in words."""
    whole_caption, shape = right_of_500(model, test[0])
    line = f"right of 500: {whole_caption:.3f}, right shape of eight: {shape:.3f}"
    if len(test) > 1:
        first, five = right_noun(model, test[1])
        line += f", right noun of {len(NOUNS)}: {first:.3f}, of its five nearest: {five:.3f}"
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/cache"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("vqclip_nb/models/demo/clip.safetensors"))
    parser.add_argument("--pictures", type=int, default=14000)
    parser.add_argument("--things", type=int, default=0, help="scenes with drawn things beside them")
    parser.add_argument("--groups", type=int, default=7000, help="scenes of each kind of group; 0 for none")
    parser.add_argument("--begin", type=Path, help="weights to begin with")
    parser.add_argument("--steps", type=int, help="steps on clean pictures (default: 800; with --begin, 0)")
    parser.add_argument("--robust-steps", type=int, default=5000, help="steps of adversarial training after them")
    parser.add_argument("--sharp-steps", type=int, default=800, help="steps of it in a smaller ball")
    parser.add_argument(
        "--painted-steps", type=int, default=1000, help="steps of it beside pictures painted for captions"
    )
    parser.add_argument("--word-steps", type=int, default=2000, help="steps of the texts alone, at the end")
    parser.add_argument("--minutes", type=float, help="end by then: of the painted steps, do those that fit")
    parser.add_argument("--batch", type=int, default=128, help="pictures in a step")
    parser.add_argument("--word-batch", type=int, default=256, help="captions in a step of the texts alone")
    parser.add_argument("--chains", type=int, default=80, help="pictures that are on their way for captions")
    parser.add_argument("--led", type=int, default=40, help="how many of them are led on in a step")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--radius", type=float, default=2.5, help="of the largest L2 ball, pictures in [0, 1]")
    parser.add_argument("--sharp-radius", type=float, default=1.6, help="of the smaller one")
    parser.add_argument("--attack-steps", type=int, default=2)
    parser.add_argument("--check-every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--save-every", type=int, default=0, help="steps between weights kept in --work; 0: never")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--eager", action="store_true", help="on a GPU, replay no recorded steps: slower")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    began, place = time.time(), torch.device(args.device)
    torch.manual_seed(args.seed)
    test = [Scenes(args.work, 1, 600, held_out=True, each=1)]
    test += [Things(args.work, 31, 300, held_out=True)] if args.things else []
    sets = [
        Scenes(args.work, 0, args.pictures, held_out=False, each=1),
    ]
    if args.groups:
        sets += [
            Scenes(args.work, 77, args.groups * 3 // 7, held_out=False, each=10),
            Scenes(args.work, 78, args.groups, held_out=False, each=3, varied="styles"),
            Scenes(args.work, 79, args.groups, held_out=False, each=3, varied="things"),
        ]
    if args.things:
        sets.append(Things(args.work, 40, args.things, held_out=False, choice="varied"))
        sets.append(Things(args.work, 30, args.things // 2, held_out=False))
    store = Store(sets, place, args.seed)
    print(f"{len(store.scenes)} scenes, {len(store.pixels)} pictures, {time.time() - began:.0f} s", flush=True)
    # What is to be recorded on a GPU must not run in its first stream.
    with torch.cuda.stream(torch.cuda.Stream(place)) if place.type == "cuda" else nullcontext():
        train(args, store, test, began)


def train(args: argparse.Namespace, store: Store, test: list[Scenes | Things], began: float) -> None:
    place, draw = store.device, Groups(store.scenes, np.random.default_rng(args.seed))
    on_gpu = place.type == "cuda"
    model, heads, layout, text_heads = (part.to(place) for part in (build(vocabulary()), Heads(), Layout(), Heads()))
    if args.steps is None:
        args.steps = 0 if args.begin else 800
    if args.begin:
        load(model, vocabulary(), args.begin)
    frozen = Folded(model.visual)
    parameters = [*model.parameters(), *heads.parameters(), *layout.parameters(), *text_heads.parameters()]
    lr = torch.tensor(args.lr, device=place) if on_gpu else args.lr  # what is recorded reads it there
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, weight_decay=0.02, betas=(0.9, 0.98), capturable=on_gpu, fused=on_gpu or None
    )
    phases = (
        ("clean", args.steps, 1.0, 0.0),
        ("robust", args.robust_steps, 0.5, args.radius),
        ("sharp", args.sharp_steps, 0.4, args.sharp_radius),
        ("painted", args.painted_steps, 0.4, args.sharp_radius),
    )
    total = sum(length for _, length, _, _ in phases)

    def phase_of(step: int) -> tuple[str, int, int, float, float]:
        """(name, step in the phase, its length, its peak rate, its radius)"""
        for name, length, peak, radius in phases:
            if step < length:
                return name, step, length, peak, radius
            step -= length
        return name, length, length, peak, radius

    parts = {"model": model, "heads": heads, "layout": layout, "text": text_heads, "optimizer": optimizer}
    checkpoint, step = args.work / f"{args.out.stem}.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=place)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        optimizer.param_groups[0]["lr"] = lr
        step, draw.rng = state["step"], np.random.default_rng((args.seed, state["step"]))

    say, chains = partial(said, model, store), Chains(store, args.chains)
    half = FLOAT32 if precision(place).scaled else precision(place)
    chosen = torch.zeros(min(args.batch, draw.different), dtype=torch.long, device=place)
    reach = torch.zeros((), device=place)

    def learn(phase: str) -> torch.Tensor:
        """One step on the `chosen` scenes, inside balls of at most `reach`: (its loss, its contrast, its layout)"""
        pictures, targets = store.pictures(chosen), store.targets[chosen]
        tokens, whole = store.texts(chosen, 0.9)
        shown = pictures = augment(pictures).contiguous(memory_format=torch.channels_last)
        if phase != "clean":
            frozen.follow()
        with half.within(place):
            text = encode_text(model, tokens).float()
            beside, loss_of_beside = pictures[:0], None
            if phase == "painted":
                text = text.detach()
                beside, loss_of_beside = against_paintings(chains, frozen, say, args.led)
            if phase != "clean":
                radius = reach * (0.15 + 0.85 * torch.rand(len(pictures), 1, 1, 1, device=place))
                pictures = attack(model, frozen, heads, pictures, text, targets, radius=radius, steps=args.attack_steps)
            image = model.visual(normal(torch.cat([pictures, beside]))).float()
        image, of_beside = image[: len(pictures)], image[len(pictures) :]
        pull, place_of = contrast(model, image, text), layout(image, shown)
        loss = pull + heads(image, targets) + 8 * place_of
        # A detached text would teach its heads alone.
        loss = loss + (loss_of_beside(of_beside) if loss_of_beside else 0.3 * text_heads(text, targets, whole))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return torch.stack([loss, pull, place_of]).detach()

    lessons = {name: Recorded(partial(learn, name), record=on_gpu and not args.eager) for name, *_ in phases}
    until = began + 60 * args.minutes - WORDS if args.minutes else math.inf
    painted_since, message, following = math.inf, (step, time.time()), draw(args.batch)
    while step < total:
        phase, step_in_phase, length, peak, radius = phase_of(step)
        done = step_in_phase / length
        if phase == "painted":
            painted_since = min(painted_since, time.time())
            done = max(done, (time.time() - painted_since) / max(1, until - painted_since))
        if done >= 1:
            break
        # Each phase rises for 40 steps and falls along a cosine.
        rate = args.lr * peak * min(1, (step_in_phase + 1) / 40) * (0.53 + 0.47 * math.cos(math.pi * done))
        optimizer.param_groups[0]["lr"] = lr.fill_(rate) if on_gpu else rate
        reach.fill_(radius if phase == "painted" else radius * min(1.0, 0.2 + done / 0.4))
        chosen.copy_(torch.from_numpy(following))
        losses = lessons[phase]()
        following = draw(args.batch)  # while a GPU is still at its step
        step += 1
        if step % 20 == 0 or step == total:
            loss, pull, place_of = losses.tolist()
            if not math.isfinite(loss):
                raise SystemExit(f"the loss of step {step} is {loss}")
            speed, message = (step - message[0]) / (time.time() - message[1]), (step, time.time())
            terms = f"loss {loss:.3f} contrast {pull:.3f} layout {place_of:.4f}"
            print(f"{step:5d}/{total} {phase:7s} {terms} {message[1] - began:.0f} s, {speed:.2f} steps/s", flush=True)
        if step % args.check_every == 0 or step in (args.steps, total):
            print(f"      {held_out(model, test)}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            if step == args.steps:
                save(model, vocabulary(), args.work / "clip-clean.safetensors")
        if args.save_every and step % args.save_every == 0:
            save(model, vocabulary(), args.work / f"clip-{step}.safetensors")
    learn_words(model, store, args.word_steps, batch=args.word_batch)
    print(f"{step} steps, {time.time() - began:.0f} s; {held_out(model, test)}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save(model, vocabulary(), args.out)


if __name__ == "__main__":
    main()
