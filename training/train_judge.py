"""Train the judge on pictures that the perceptor never saw, with another architecture, another seed and no text."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from augment import augment
from data import Scenes
from judge import SIZE, WEIGHTS, Judge, save_judge
from scenes import ATTRIBUTES, labels


@torch.no_grad()
def right_of_60(judge: Judge, data: Scenes, seed: int = 0) -> tuple[float, list[float]]:
    """(share of scenes whose own description beats 59 unequal others, share right of each attribute)."""
    judge.eval()
    pictures = torch.from_numpy(data.pictures[:].copy()).permute(0, 3, 1, 2).float() / 255
    predictions = judge(pictures)
    targets = torch.tensor([labels(scene) for scene in data.scenes])
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
    parser.add_argument("--out", type=Path, default=WEIGHTS)
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
    targets = torch.tensor([labels(scene) for scene in data.scenes])
    judge = Judge().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=args.lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.steps, pct_start=0.1)
    began = time.time()
    for step in range(1, args.steps + 1):
        chosen = rng.integers(len(data.pictures), size=args.batch)
        pictures = torch.from_numpy(data.pictures[chosen]).permute(0, 3, 1, 2).float() / 255
        pictures = augment(pictures).contiguous(memory_format=torch.channels_last)
        loss = sum(F.nll_loss(p, targets[chosen, k]) for k, p in enumerate(judge(pictures))) / len(ATTRIBUTES)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"{step:5d}/{args.steps} loss {loss.item():.4f} {time.time() - began:.0f} s", flush=True)
    right, single = right_of_60(judge, test)
    print(f"right of 60 on held-out scenes: {right:.3f}", dict(zip(ATTRIBUTES, single, strict=True)))
    save_judge(judge, args.out)


if __name__ == "__main__":
    main()
