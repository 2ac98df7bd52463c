"""Train the judge on pictures that the perceptor never saw, with another architecture, another seed and no text.

With --things it is the judge of the whole world, drawn things included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from augment import augment
from data import Scenes
from judge import OF_THINGS, SIZE, WEIGHTS, Judge, save_judge
from safetensors.torch import load_file
from thing_data import Things

from vqclip_nb.device import precision


class Pictures:
    """Scenes of several sets, `pictures` (n, SIZE, SIZE, 3) uint8 and what they show."""

    def __init__(self, *sets: Scenes | Things) -> None:
        self.pictures = np.concatenate([data.coarse if isinstance(data, Things) else data.pictures for data in sets])
        self.scenes = [scene for data in sets for scene in data.scenes]


@torch.no_grad()
def right_of_60(judge: Judge, data: Scenes | Pictures, seed: int = 0) -> tuple[float, list[float]]:
    """(share of scenes whose own description beats 59 unequal others, share right of each attribute)."""
    judge.eval()
    pictures = torch.from_numpy(data.pictures[:].copy()).permute(0, 3, 1, 2).float() / 255
    predictions = judge(pictures)
    targets = torch.tensor([judge.world.labels(scene) for scene in data.scenes])
    single = [float((p.argmax(1) == targets[:, k]).float().mean()) for k, p in enumerate(predictions)]
    rng, right = np.random.default_rng(seed), 0
    every = judge.scores(pictures, data.scenes)
    for index, scene in enumerate(data.scenes):
        unequal = [other for other in range(len(data.scenes)) if data.scenes[other] != scene]
        others = rng.choice(unequal, 59, replace=False)
        right += bool(every[index, index] > every[index, others].max())
    judge.train()
    return right / len(data.scenes), single


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/cache"), help="folder of scenes")
    parser.add_argument("--out", type=Path, help="default: that of the judge in this folder")
    parser.add_argument("--things", type=int, default=0, help="scenes with drawn things beside them")
    parser.add_argument("--begin", type=Path, help="weights to begin with")
    parser.add_argument("--pictures", type=int, default=9000)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    data = Scenes(args.work, 7, args.pictures, held_out=False, size=SIZE)
    test = Scenes(args.work, 8, 600, held_out=True, size=SIZE)
    if args.things:
        groups = Things(args.work, 70, args.things, held_out=False, choice="varied")  # of one thing
        data = Pictures(data, groups, Things(args.work, 72, args.things, held_out=False))
        test = Pictures(Things(args.work, 71, 600, held_out=True))
    judge = Judge(things=bool(args.things))
    if args.begin:
        judge.load_state_dict({key: value.float() for key, value in load_file(args.begin).items()}, strict=False)
    judge = judge.to(memory_format=torch.channels_last)
    targets = torch.tensor([judge.world.labels(scene) for scene in data.scenes])
    cpu = torch.device("cpu")
    half = precision(cpu)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=args.lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.steps, pct_start=0.1)
    began = time.time()
    for step in range(1, args.steps + 1):
        chosen = rng.integers(len(data.pictures), size=args.batch)
        pictures = torch.from_numpy(data.pictures[chosen]).permute(0, 3, 1, 2).float() / 255
        pictures = augment(pictures).contiguous(memory_format=torch.channels_last)
        with half.within(cpu):
            predictions = [each.float() for each in judge(pictures)]
        loss = sum(F.nll_loss(each, targets[chosen, k]) for k, each in enumerate(predictions)) / len(predictions)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"{step:5d}/{args.steps} loss {loss.item():.4f} {time.time() - began:.0f} s", flush=True)
    right, single = right_of_60(judge, test)
    print(f"right of 60 on held-out scenes: {right:.3f}", dict(zip(judge.world.ATTRIBUTES, single, strict=True)))
    save_judge(judge, args.out or (OF_THINGS if args.things else WEIGHTS))


if __name__ == "__main__":
    main()
