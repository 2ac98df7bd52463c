"""Train the prior, which draws a coarse picture of a text, on scenes with drawn things."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scenes import all_words as scene_words
from thing_data import NONE, Things
from things import NOUNS, OWN_STYLES, Thing, all_words, caption
from torch import Tensor

from vqclip_nb.device import precision
from vqclip_nb.drawn_things import PRIOR
from vqclip_nb.models import tokenizer
from vqclip_nb.models.prior import CONTEXT, POSE, VECTOR, Prior

PLAIN = (None, *OWN_STYLES)  # other styles are left to the perceptor
CPU = torch.device("cpu")
CAPTIONS = 12  # kept of each scene, two thirds of them whole


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


class Both:
    """Two sets of scenes in a row."""

    def __init__(self, *sets: Things) -> None:
        self.scenes = [scene for data in sets for scene in data.scenes]
        self.coarse = np.concatenate([data.coarse for data in sets])
        self.poses = np.concatenate([data.poses for data in sets])


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/cache"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, default=PRIOR)
    parser.add_argument("--pictures", type=int, default=20000, help="scenes of one or two things")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, help="end by then: the rate falls so that it is low at the end")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--varied", type=int, default=40000, help="scenes of one thing in groups that differ in it")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng, words = np.random.default_rng(args.seed), Words()
    data = Both(
        Things(args.work, 30, args.pictures, held_out=False),
        Things(args.work, 40, args.varied, held_out=False, varied=True),
    )
    test = Things(args.work, 31, 300, held_out=True)
    plain = np.array([k for k, scene in enumerate(data.scenes) if scene.style in PLAIN])
    texts = captions(data.scenes, words, rng)
    nouns = torch.tensor([[NOUNS.index(scene.noun), NOUNS.index(scene.second or scene.noun)] for scene in data.scenes])
    names = torch.nn.Linear(VECTOR, len(NOUNS))  # a help in training, thrown away after it
    own = torch.from_numpy(np.stack([words(caption(scene)) for scene in test.scenes])).long()
    own_poses, own_pictures = torch.from_numpy(test.poses[:]), pictures_of(test.coarse[:])
    model = Prior(len(words.ids) + 1)
    model.token_ids.copy_(torch.tensor(words.ids))
    parameters = [*model.parameters(), *names.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.01, betas=(0.9, 0.98))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    parts = {"model": model, "names": names, "optimizer": optimizer, "average": average}
    checkpoint, step, began, spent = args.work / "prior.pt", 0, time.time(), 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step, spent = state["step"], state["seconds"]
    order, losses, half = rng.permutation(plain), [], precision(CPU)
    while True:
        seconds = spent + time.time() - began
        done = max(step / args.steps, seconds / (60 * args.minutes) if args.minutes else 0)
        if done >= 1:
            break
        first = step * args.batch % (len(order) - args.batch)
        if first < args.batch:
            order = rng.permutation(plain)
        chosen = np.sort(order[first : first + args.batch])
        tokens = torch.from_numpy(texts[chosen, rng.integers(CAPTIONS, size=len(chosen))]).long()
        true, poses = pictures_of(data.coarse[chosen]), torch.from_numpy(data.poses[chosen])
        mirrored = torch.from_numpy(rng.random(len(chosen)) < 0.5)
        true = torch.where(mirrored[:, None, None, None], true.flip(3), true)
        poses = torch.where(mirrored[:, None], flipped(poses), poses)
        with half.within(CPU):
            vectors = model.read(tokens)
            drawn, usual = model.draw(vectors, poses), model.usual(vectors.flatten(1))
        vectors = vectors.float()
        loss = rough(drawn.float(), true) + 0.02 * pose_loss(usual.float(), poses)
        there = poses[:, 11] > NONE / 2
        named = F.cross_entropy(names(vectors[:, 0]), nouns[chosen, 0])
        if there.any():
            named = named + F.cross_entropy(names(vectors[there, 1]), nouns[chosen, 1][there]) / 2
        loss = loss + 0.03 * named
        optimizer.param_groups[0]["lr"] = args.lr * min(1, (step + 1) / 60) * (0.51 + 0.49 * math.cos(math.pi * done))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update_parameters(model)
        losses.append((float(loss.detach()), float(named.detach())))
        step += 1
        if step % 20 == 0:
            loss_of, named_of = np.mean(losses[-20:], 0)
            print(f"{step:5d} loss {loss_of:.4f} names {named_of:.3f} {spent + time.time() - began:.0f} s", flush=True)
        if step % 200 == 0:
            with torch.no_grad():
                error = rough(average.module(own, own_poses), own_pictures)
            print(f"      held out {error:.4f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save(state | {"step": step, "seconds": spent + time.time() - began}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    save(average.module, args.out)


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
    state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


if __name__ == "__main__":
    main()
