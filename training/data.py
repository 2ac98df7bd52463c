"""Painted scenes on disk, so that training reads pictures instead of painting them again each epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import COLOURED, COLOURS, MAIN, STYLES, Scene, paint, scenes
from tqdm import tqdm

SIZE = 256
SEEN = 64  # the side of what a perceptor sees
Stream = Iterator[tuple[Scene, np.random.Generator]]


class Scenes:
    """`count` painted scenes of one seed: `pictures` (count, size, size, 3) uint8, mapped, and `scenes` they show.

    With `each`, so many pictures of each scene, as a perceptor sees them: (count, each, SEEN, SEEN, 3). With `varied`,
    "styles" or "things", each scene is followed by itself in the other styles, or with other main things. Painted at
    the first call, by all processor cores, and read from `folder` afterwards.
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
        varied: str = "",
    ):
        shape = (count, each, SEEN, SEEN, 3) if each else (count, size, size, 3)
        kind = ("held-out" if held_out else "train") + (varied and f"-{varied}")
        name = f"{kind}-{seed}-{count}-{f'{each}x{SEEN}' if each else size}"
        pictures, words = Path(folder) / f"{name}.npy", Path(folder) / f"{name}.json"
        if not words.exists():
            stream = scenes(seed, held_out=held_out)
            _paint_all(pictures, words, VARIED[varied](stream), shape)
        self.pictures = np.load(pictures, mmap_mode="r")
        self.scenes = [Scene(**scene) for scene in json.loads(words.read_text())]


def seen(picture: np.ndarray) -> np.ndarray:
    """A picture as pooling shows it at 192 x 192 to a perceptor: half average, half maximum: (SEEN, SEEN, 3) uint8."""
    smaller = Image.fromarray(picture).resize((3 * SEEN, 3 * SEEN), Image.Resampling.LANCZOS)
    cells = np.asarray(smaller, np.float32).reshape(SEEN, 3, SEEN, 3, 3)
    return ((cells.mean((1, 3)) + cells.max((1, 3))) / 2).round().astype(np.uint8)


def in_other_styles(scene: Scene, rng: np.random.Generator) -> list[Scene]:
    return [replace(scene, style=style) for style in STYLES if style != scene.style]


def with_other_things(scene: Scene, rng: np.random.Generator) -> list[Scene]:
    """The same place and light around another house, castle, tree, boat or lighthouse, or around none."""
    others = [main for main in MAIN if main != scene.main and (scene.extra or main) and scene.place]
    colour = scene.main_colour or tuple(COLOURS)[rng.integers(len(COLOURS))]
    return [
        replace(scene, main=main, main_colour=colour if main in COLOURED else None)
        for main in others
        if main != "boat" or scene.place == "sea"
    ]


def _varied(vary: Callable[[Scene, np.random.Generator], list[Scene]]) -> Callable[[Stream], Stream]:
    """Each scene, and after it its variations, as far as they are held out like it, painted with the same draws."""

    def stream(inputs: Stream) -> Stream:
        for scene, rng in inputs:
            for each in (scene, *vary(scene, deepcopy(rng))):
                if each.held_out == scene.held_out:
                    yield each, deepcopy(rng)

    return stream


VARIED: dict[str, Callable[[Stream], Stream]] = {
    "": lambda given: given,
    "styles": _varied(in_other_styles),
    "things": _varied(with_other_things),
}


def _paint_all(pictures: Path, words: Path, stream: Stream, shape: tuple[int, ...]) -> None:
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
