"""Sixty more pictures, of things that people drew, for demo_quality.py: prompts, pictures, and what the judge sees."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "training"))

from judge import OF_THINGS, load_judge  # noqa: E402
from painted_sheet import contact_sheet, paint_all, write_answers  # noqa: E402
from things import NOUNS, Thing, caption, paint, things  # noqa: E402

COUNT, SEED, GUESSES = 60, 2026, 5
GOALS = {
    "judge_on_things": 0.95,
    "right_of_60_things": 0.85,
    "noun_at_first_guess": 0.50,
    "noun_at_five_guesses": 0.75,
}


PAGE = """# Sixty drawn things and their judge

Painted at the default settings by
`python benchmarks/demo_quality.py --things --json benchmarks/results/demo-things.json --docs docs`,
from combinations that no training saw, no two with the same thing. The judge is another network, trained on other
pictures, that never guides a painting; it names one of the sixty prompts for each picture.

![All sixty pictures](demo-things.jpg)

"""
SHOWN = 24  # on the README's sheet, drawn by lot


def main(args: argparse.Namespace) -> None:
    """Paint, judge and write what `demo_quality.py --things` was asked for."""
    wanted = prompts()
    painted = range(0, len(wanted), args.every_nth)
    changes = {key: json.loads(value) for key, value in (item.split("=", 1) for item in args.set)}
    words = [caption(wanted[k]) for k in painted]
    report: dict = {"judge_on_things": judge_on_things()}
    images = paint_all(words, changes)
    shares, picked = judged(images, [wanted[k] for k in painted])
    report |= shares | {"settings": changes, "goals": GOALS}
    args.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    if args.sheet:
        lot = np.random.default_rng(0).permutation(len(words))[:SHOWN]
        contact_sheet(images[lot], [words[k] for k in lot], 6).save(args.sheet, quality=90)
    write_answers(args.docs, "demo-things", PAGE, images, words, [caption(wanted[pick]) for pick in picked])


def prompts() -> list[Thing]:
    """COUNT scenes that no training saw, no two with the same thing."""
    chosen: list[Thing] = []
    for thing, _ in things(SEED, held_out=True):
        nouns = {noun for each in chosen for noun in (each.noun, each.second)}
        if not nouns & {thing.noun, thing.second or thing.noun}:
            chosen.append(thing)
        if len(chosen) == COUNT:
            return chosen
    raise AssertionError("things() never ends")


def judge_on_things(count: int = 500) -> float:
    """The share of true held-out scenes with drawn things that the judge tells from 59 unequal others."""
    stream = things(3, held_out=True)
    drawn = [next(stream) for _ in range(count)]
    shown, pictures = [thing for thing, _ in drawn], np.stack([paint(thing, rng) for thing, rng in drawn])
    scores, rng, right = _judge_scores(pictures, shown), np.random.default_rng(0), 0
    for index, thing in enumerate(shown):
        others = rng.choice([other for other in range(count) if shown[other] != thing], COUNT - 1, replace=False)
        right += bool(scores[index, index] > scores[index, others].max())
    return right / count


def judged(images: np.ndarray, asked: Sequence[Thing]) -> tuple[dict[str, float], list[int]]:
    """What the judge sees in painted pictures, (n, H, W, 3) uint8: the shares, and the prompt it picks for each."""
    import torch

    judge = load_judge(OF_THINGS)
    names = dict(zip(judge.world.ATTRIBUTES, judge(_as_tensor(images)), strict=True))["noun"]
    guesses = names[:, 1:].topk(GUESSES).indices  # without None
    true = torch.tensor([[NOUNS.index(thing.noun)] for thing in asked])
    picked = _judge_scores(images, prompts()).argmax(1).tolist()
    wanted = prompts()
    return {
        "right_of_60_things": float(np.mean([wanted[k] == thing for k, thing in zip(picked, asked, strict=True)])),
        "noun_at_first_guess": float((guesses[:, :1] == true).any(1).float().mean()),
        "noun_at_five_guesses": float((guesses == true).any(1).float().mean()),
    }, picked


def _judge_scores(pictures: np.ndarray, shown: Sequence[Thing]) -> np.ndarray:
    return load_judge(OF_THINGS).scores(_as_tensor(pictures), shown).numpy()


def _as_tensor(pictures: np.ndarray):
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
