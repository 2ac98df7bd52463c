"""Painted scenes on disk, so that training reads pictures instead of painting them again each epoch."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scenes import Scene, paint, scenes
from tqdm import tqdm

SIZE = 256


class Scenes:
    """`count` painted scenes of one seed: `pictures` (count, size, size, 3) uint8, mapped, and `scenes` they show.

    Painted at the first call, by all processor cores, and read from `folder` afterwards.
    """

    def __init__(self, folder: Path, seed: int, count: int, *, held_out: bool, size: int = SIZE):
        name = f"{'held-out' if held_out else 'train'}-{seed}-{count}-{size}"
        pictures, words = Path(folder) / f"{name}.npy", Path(folder) / f"{name}.json"
        if not words.exists():
            _paint_all(pictures, words, seed, count, held_out, size)
        self.pictures = np.load(pictures, mmap_mode="r")
        self.scenes = [Scene(**scene) for scene in json.loads(words.read_text())]


def _paint_all(pictures: Path, words: Path, seed: int, count: int, held_out: bool, size: int) -> None:
    pictures.parent.mkdir(parents=True, exist_ok=True)
    part = pictures.with_suffix(".part")
    out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
    stream = scenes(seed, held_out=held_out)
    jobs = [next(stream) for _ in range(count)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        painted = pool.map(_paint_one, ((scene, rng, size) for scene, rng in jobs), chunksize=32)
        for index, picture in enumerate(tqdm(painted, total=count, desc=pictures.stem, mininterval=5)):
            out[index] = picture
    out.flush()
    os.replace(part, pictures)
    words.write_text(json.dumps([asdict(scene) for scene, _ in jobs]))


def _paint_one(job) -> np.ndarray:
    """Paint at the full size, so that textures keep their scale, and average down."""
    scene, rng, size = job
    picture = paint(scene, rng, SIZE)
    if size == SIZE:
        return picture
    factor = SIZE // size
    return picture.reshape(size, factor, size, factor, 3).mean((1, 3)).round().astype(np.uint8)
