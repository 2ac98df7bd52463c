"""Painted scenes on disk, so that training reads pictures instead of painting them again each epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import STYLES, Scene, paint, scenes
from tqdm import tqdm

SIZE = 256
SEEN = 64  # the side of what a perceptor sees


class Scenes:
    """`count` painted scenes of one seed: `pictures` (count, size, size, 3) uint8, mapped, and `scenes` they show.

    With `each`, so many pictures of each scene, as a perceptor sees them: (count, each, SEEN, SEEN, 3); `restyled`:
    each scene is followed by itself in the other styles. Painted at the first call, by all processor cores, and read
    from `folder` afterwards.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        count: int,
        *,
        held_out: bool,
        size: int = SIZE,
        each: int = 0,
        restyled: bool = False,
    ):
        shape = (count, each, SEEN, SEEN, 3) if each else (count, size, size, 3)
        kind = ("held-out" if held_out else "train") + "-restyled" * restyled
        name = f"{kind}-{seed}-{count}-{f'{each}x{SEEN}' if each else size}"
        pictures, words = Path(folder) / f"{name}.npy", Path(folder) / f"{name}.json"
        if not words.exists():
            stream = scenes(seed, held_out=held_out)
            _paint_all(pictures, words, in_other_styles(stream) if restyled else stream, shape)
        self.pictures = np.load(pictures, mmap_mode="r")
        self.scenes = [Scene(**scene) for scene in json.loads(words.read_text())]


def seen(picture: np.ndarray) -> np.ndarray:
    """A picture as pooling shows it at 192 x 192 to a perceptor: half average, half maximum: (SEEN, SEEN, 3) uint8."""
    smaller = Image.fromarray(picture).resize((3 * SEEN, 3 * SEEN), Image.Resampling.LANCZOS)
    cells = np.asarray(smaller, np.float32).reshape(SEEN, 3, SEEN, 3, 3)
    return ((cells.mean((1, 3)) + cells.max((1, 3))) / 2).round().astype(np.uint8)


def in_other_styles(stream: Iterator[tuple[Scene, np.random.Generator]]) -> Iterator[tuple[Scene, np.random.Generator]]:
    """Each scene, and after it the same place and things in the other styles, as far as they are held out like it."""
    for scene, rng in stream:
        others = [replace(scene, style=style) for style in STYLES if style != scene.style]
        for other in (scene, *(other for other in others if other.held_out == scene.held_out)):
            yield other, deepcopy(rng)


def _paint_all(
    pictures: Path, words: Path, stream: Iterator[tuple[Scene, np.random.Generator]], shape: tuple[int, ...]
) -> None:
    pictures.parent.mkdir(parents=True, exist_ok=True)
    part = pictures.with_suffix(".part")
    out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    jobs = [next(stream) for _ in range(shape[0])]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        painted = pool.map(_paint_one, ((scene, rng, shape) for scene, rng in jobs), chunksize=16)
        for index, picture in enumerate(tqdm(painted, total=shape[0], desc=pictures.stem, mininterval=5)):
            out[index] = picture
    out.flush()
    os.replace(part, pictures)
    words.write_text(json.dumps([asdict(scene) for scene, _ in jobs]))


def _paint_one(job) -> np.ndarray:
    """Paint at the full size, so that textures keep their scale, and make smaller."""
    scene, rng, shape = job
    if len(shape) == 5:
        return np.stack([seen(paint(scene, rng, SIZE)) for _ in range(shape[1])])
    picture, factor = paint(scene, rng, SIZE), SIZE // shape[1]
    if factor == 1:
        return picture
    smaller = picture.reshape(shape[1], factor, shape[1], factor, 3).mean((1, 3))
    return smaller.round().astype(np.uint8)
