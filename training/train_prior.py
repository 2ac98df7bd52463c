"""Train the prior, which draws a coarse picture of a text, on scenes with drawn things."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from drawings import SIDE as SIDE_OF_DRAWING
from drawings import drawing
from safetensors.torch import save_file
from scenes import COLOURS
from scenes import all_words as scene_words
from thing_data import NONE, Things
from things import NOUNS, OWN_STYLES, Thing, all_words, caption
from torch import Tensor

from vqclip_nb.device import precision
from vqclip_nb.drawn_things import PRIOR
from vqclip_nb.models import tokenizer
from vqclip_nb.models.prior import CONTEXT, KINDS, LARGEST, POSE, ROOM, SCALES, SIDE, VECTOR, Prior

CPU = torch.device("cpu")
CAPTIONS = 12  # kept of each scene, two thirds of them whole
SECOND = 10  # of a thing's own captions, the first that names it after another


class Words:
    """The tokens of the captions' words, renumbered from 1 in the order of their ids; 0 is none."""

    def __init__(self) -> None:
        self.tokenizer = tokenizer()
        known = {token for word in all_words() | scene_words() for token in self.tokenizer.encode(word)}
        self.ids = sorted(known | set(self.tokenizer.encode(",")))
        self.row = {token: row for row, token in enumerate(self.ids, 1)}

    def __call__(self, text: str) -> np.ndarray:
        rows = [self.row[token] for token in self.tokenizer.encode(text)][:CONTEXT]
        return np.array(rows + [0] * (CONTEXT - len(rows)), np.int16)


class Alone:
    """Each noun's drawing in each kind, in its own square: `colours` and `cover`, (nouns, KINDS, c, side, side)."""

    def __init__(self, side: int) -> None:
        squares = np.zeros((len(NOUNS), KINDS, side, side, 4), np.float32)
        for row, noun in enumerate(NOUNS):
            for kind in range(KINDS):
                image = drawing(noun, kind)
                image = image.resize([max(1, round(length * side / ROOM / SIDE_OF_DRAWING)) for length in image.size])
                left, top = (side - image.width) // 2, (side - image.height) // 2
                squares[row, kind, top : top + image.height, left : left + image.width] = np.asarray(image)
        squares = torch.from_numpy(squares).movedim(-1, 2) / 255
        self.colours, self.cover = squares[:, :, :3], squares[:, :, 3:]


def flipped(poses: Tensor) -> Tensor:
    """The poses of mirrored pictures."""
    signs = torch.ones(POSE)
    signs[[2, 4, 5, 7, 9, 10]] = -1
    return poses * signs


def pose_loss(usual: Tensor, poses: Tensor) -> Tensor:
    """How unlikely poses are by the usual ones, as normal distributions; and whether there are two."""
    mean, spread, two = usual.split((POSE, POSE, 1), 1)
    there = poses[:, 11:] > NONE / 2
    counts = torch.ones_like(poses)
    counts[:, 7:] = there.float()
    spread = spread.clamp(-3, 2)
    unlikely = (((poses - mean) * torch.exp(-spread)) ** 2 / 2 + spread) * counts
    return unlikely.sum() / counts.sum() + F.binary_cross_entropy_with_logits(two, there.float())


def rough(picture: Tensor, true: Tensor) -> Tensor:
    """Mean absolute error of the pictures, and of their differences between neighbours."""
    loss = (picture - true).abs().mean()
    return loss + sum((picture.diff(dim=dim) - true.diff(dim=dim)).abs().mean() for dim in (2, 3))


def alone_loss(
    model: Prior, alone: Alone, vectors: Tensor, slots: Tensor, nouns: Tensor, kinds: Tensor
) -> tuple[Tensor, Tensor]:
    """How unlike the drawings the things are in their own squares: their covers, and their colours where they cover.

    Also the vectors of those things, (n, VECTOR). slots: whether a caption names the thing first, 0, or second, 1.
    """
    things = vectors[torch.arange(len(vectors)), slots]
    layer, cover = model.layer(things, kinds - 1)
    painted = model.colours(layer, vectors).float()
    true, shape = alone.colours[nouns, kinds], alone.cover[nouns, kinds]
    return rough(painted * shape, true * shape) + rough(cover, shape), things


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/cache"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, default=PRIOR)
    parser.add_argument("--pictures", type=int, default=14000, help="scenes of one or two things")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--minutes", type=float, help="end by then: the rate falls so that it is low at the end")
    parser.add_argument("--batch", type=int, default=8, help="scenes in a step")
    parser.add_argument("--alone", type=int, default=40, help="drawings in squares of their own beside them")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng, words = np.random.default_rng(args.seed), Words()
    data = Things(args.work, 50, args.pictures, held_out=False, choice="plain", side=SIDE)
    test = Things(args.work, 51, 300, held_out=True, choice="plain", side=SIDE)
    texts = captions(data.scenes, words, rng)
    nouns = torch.tensor([[NOUNS.index(scene.noun), NOUNS.index(scene.second or scene.noun)] for scene in data.scenes])
    alone = Alone(SIDE // 2)
    texts_alone = np.stack([alone_captions(noun, kind, words, rng) for noun in NOUNS for kind in range(KINDS)])
    texts_alone = texts_alone.reshape(len(NOUNS), KINDS, CAPTIONS, CONTEXT)
    names = torch.nn.Linear(VECTOR, len(NOUNS))  # a help in training, thrown away after it
    own = torch.from_numpy(np.stack([words(caption(scene)) for scene in test.scenes])).long()
    own_poses, own_pictures = torch.from_numpy(test.poses[:]), pictures_of(test.coarse[:])
    model = Prior(len(words.ids) + 1).to(memory_format=torch.channels_last)
    model.token_ids.copy_(torch.tensor(words.ids))
    parameters = [*model.parameters(), *names.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.01, betas=(0.9, 0.98))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    parts = {"model": model, "names": names, "optimizer": optimizer, "average": average}
    checkpoint, step, began, spent = args.work / "prior.pt", 0, time.time(), 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step, spent = state["step"], state["seconds"]
    order, losses, half = rng.permutation(len(data.scenes)), [], precision(CPU)
    while True:
        seconds = spent + time.time() - began
        done = max(step / args.steps, seconds / (60 * args.minutes) if args.minutes else 0)
        if done >= 1:
            break
        start = step * args.batch % (len(order) - args.batch)
        if start < args.batch:
            order = rng.permutation(len(data.scenes))
        chosen = np.sort(order[start : start + args.batch])
        rows, kinds = rng.integers(len(NOUNS), size=args.alone), rng.integers(KINDS, size=args.alone)
        tokens = texts[chosen, rng.integers(CAPTIONS, size=len(chosen))]
        which = rng.integers(CAPTIONS, size=args.alone)
        tokens_alone, slots = texts_alone[rows, kinds, which], torch.from_numpy((which >= SECOND).astype(np.int64))
        rows, kinds = torch.from_numpy(rows), torch.from_numpy(kinds)
        tokens = torch.from_numpy(np.concatenate([tokens, tokens_alone])).long()
        true, poses = pictures_of(data.coarse[chosen]), torch.from_numpy(data.poses[chosen])
        mirrored = torch.from_numpy(rng.random(len(chosen)) < 0.5)
        true = torch.where(mirrored[:, None, None, None], true.flip(3), true)
        poses = torch.where(mirrored[:, None], flipped(poses), poses)
        with half.within(CPU):
            vectors, vectors_alone = model.read(tokens).split((len(chosen), args.alone))
            drawn, usual = model.draw(vectors, poses), model.usual(vectors.flatten(1))
            loss_alone, things_alone = alone_loss(model, alone, vectors_alone, slots, rows, kinds)
        vectors = vectors.float()
        loss = rough(drawn.float(), true) + loss_alone + 0.02 * pose_loss(usual.float(), poses)
        there = poses[:, 11] > NONE / 2
        first = torch.cat([vectors[:, 0], things_alone.float()])
        named = F.cross_entropy(names(first), torch.cat([nouns[chosen, 0], rows]))
        if there.any():
            named = named + F.cross_entropy(names(vectors[there, 1]), nouns[chosen, 1][there]) / 2
        loss = loss + 0.03 * named
        optimizer.param_groups[0]["lr"] = args.lr * min(1, (step + 1) / 60) * (0.51 + 0.49 * math.cos(math.pi * done))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update_parameters(model)
        losses.append((float(loss.detach()), float(loss_alone.detach()), float(named.detach())))
        step += 1
        if step % 20 == 0:
            loss_of, alone_of, named_of = np.mean(losses[-20:], 0)
            terms = f"loss {loss_of:.4f} alone {alone_of:.4f} names {named_of:.3f}"
            print(f"{step:5d} {terms} {spent + time.time() - began:.0f} s", flush=True)
        if step % 200 == 0:
            with torch.no_grad():
                error = rough(average.module(own, own_poses), own_pictures)
            print(f"      held out {error:.4f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save(state | {"step": step, "seconds": spent + time.time() - began}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    save(average.module, args.out)


def alone_captions(noun: str, kind: int, words: Words, rng: np.random.Generator) -> np.ndarray:
    """(CAPTIONS, CONTEXT) rows of tokens that name a thing: alone, twice, and from SECOND on as the second of two."""
    rows = []
    for k in range(CAPTIONS):
        background = tuple(COLOURS)[rng.integers(len(COLOURS))]
        style = (None, tuple(OWN_STYLES)[kind])[rng.integers(2)]
        other = NOUNS[rng.integers(len(NOUNS))]
        first, second = (other, noun) if k >= SECOND else (noun, (None, None, None, noun, other)[k % 5])
        rows.append(words(caption(Thing(first, second, background=background, style=style), rng)))
    return np.stack(rows)


def captions(scenes: list[Thing], words: Words, rng: np.random.Generator) -> np.ndarray:
    """(scenes, CAPTIONS, CONTEXT) rows of tokens."""
    return np.stack(
        [[words(caption(scene, rng, whole=k < CAPTIONS * 2 // 3)) for k in range(CAPTIONS)] for scene in scenes]
    )


def pictures_of(pixels: np.ndarray) -> Tensor:
    """(n, H, W, 3) uint8 -> (n, 3, H, W) in [0, 1]"""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 1).float() / 255


def save(model: Prior, path: Path) -> None:
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    scales = state[LARGEST].abs().amax(1).half() / 127
    state |= {LARGEST: (state[LARGEST] / scales[:, None]).round().clamp(-127, 127).to(torch.int8), SCALES: scales}
    state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


if __name__ == "__main__":
    main()
