"""Painted scenes of drawn things on disk, with the poses that their words do not say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from data import SEEN, seen
from things import NOUNS, OWN_STYLES, Pose, Thing, draw_pose, paint, things
from tqdm import tqdm

POSE = 12  # the set, the horizon, and of two things x, y, turn, whether mirrored, and side
NONE = -99.0  # the side of a thing that is not there

Stream = Iterator[tuple[Thing, np.random.Generator]]


class Things:
    """`count` painted scenes of one seed: `scenes`, and three arrays, mapped.

    With the choice "varied", each scene of one thing is followed by itself with seven other things, as far as these are
    held out like it. With "plain" there are only drawings of the first two sets, in no other style than their own.

    `pictures` (count, 1, SEEN, SEEN, 3) uint8 as a perceptor sees them, `coarse` (count, side, side, 3) uint8 made
    smaller by averaging, and `poses` (count, POSE) float32. Painted at the first call, then read from `folder`.
    """

    def __init__(self, folder: Path, seed: int, count: int, *, held_out: bool, choice: str = "", side: int = SEEN):
        kind = ("held-out" if held_out else "train") + (choice and f"-{choice}")
        name = f"things-{kind}-{seed}-{count}" + (f"-{side}" if side != SEEN else "")
        paths = [Path(folder) / f"{name}-{part}.npy" for part in ("seen", "coarse", "poses")]
        words = Path(folder) / f"{name}.json"
        if not words.exists():
            _paint_all(paths, words, CHOICES[choice](things(seed, held_out=held_out)), count, side)
        self.pictures, self.coarse, self.poses = (np.load(path, mmap_mode="r") for path in paths)
        self.scenes = [Thing(**thing) for thing in json.loads(words.read_text())]


def pose_numbers(pose: Pose) -> np.ndarray:
    """(POSE,) float32, each about 0 and about 1 in size."""
    numbers = np.zeros(POSE, np.float32)
    numbers[0], numbers[1], numbers[11] = pose.which - 1, (pose.horizon - 0.55) / 0.03, NONE
    for k, (x, y, side, turn, mirrored) in enumerate(pose.things):
        each = (x - 0.5) / 0.15, (y - 0.5) / 0.15, turn / 6, 1 if mirrored else -1, (side - 0.5) / 0.12
        numbers[2 + 5 * k : 7 + 5 * k] = each
    return numbers


def with_other_nouns(stream: Stream) -> Stream:
    """Each scene of one thing, and after it seven with another thing each, posed with the same draws."""
    for thing, rng in stream:
        if thing.second:
            continue
        nouns = deepcopy(rng).permutation(len(NOUNS))[:7]
        for each in (thing, *(replace(thing, noun=NOUNS[k]) for k in nouns if NOUNS[k] != thing.noun)):
            if each.held_out == thing.held_out:
                yield each, deepcopy(rng)


def plain(stream: Stream) -> Stream:
    """The scenes in no style but the sets' own, drawn from the first two sets."""
    for thing, rng in stream:
        if thing.style in (None, *OWN_STYLES) and draw_pose(thing, deepcopy(rng)).which < 2:
            yield thing, rng


CHOICES: dict[str, Callable[[Stream], Stream]] = {"": iter, "varied": with_other_nouns, "plain": plain}


def _paint_all(paths: list[Path], words: Path, stream: Stream, count: int, side: int) -> None:
    words.parent.mkdir(parents=True, exist_ok=True)
    jobs = [next(stream) for _ in range(count)]
    seen_of, coarse, poses = [], [], []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for one, two, three in tqdm(
            pool.map(partial(_paint_one, side), jobs, chunksize=64), total=count, mininterval=5
        ):
            seen_of.append(one), coarse.append(two), poses.append(three)
    for path, arrays in zip(paths, (seen_of, coarse, poses), strict=True):
        np.save(path, np.stack(arrays))
    words.write_text(json.dumps([asdict(thing) for thing, _ in jobs]))


def _paint_one(side: int, job) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    thing, rng = job
    pose = draw_pose(thing, rng)
    picture = paint(thing, rng, pose)
    factor = len(picture) // side
    coarse = picture.reshape(side, factor, side, factor, 3).mean((1, 3)).round().astype(np.uint8)
    return seen(picture)[None], coarse, pose_numbers(pose)
