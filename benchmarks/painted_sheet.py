"""Paints prompts and lays the pictures out on a sheet, for the benchmarks of quality."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def paint_all(prompts: Sequence[str], changes: dict[str, Any]) -> np.ndarray:
    """The finished picture of each prompt at the default settings with these changes, (n, H, W, 3) uint8."""
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        return np.stack(list(pool.map(_paint_one, [(prompt, changes) for prompt in prompts])))


def _paint_one(job: tuple[str, dict[str, Any]]) -> np.ndarray:
    import torch

    from vqclip_nb import Settings
    from vqclip_nb.painting import run
    from vqclip_nb.session import build_painting

    prompt, changes = job
    torch.set_num_threads(1)
    *_, last = run(build_painting(Settings(prompt=prompt, **changes)))
    return last.image[0].permute(1, 2, 0).mul(255).round().byte().cpu().numpy()


def contact_sheet(pictures: Sequence[np.ndarray], words: Sequence[str], columns: int, tile: int = 160) -> Image.Image:
    """Pictures in rows with their words beneath."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (tile + 8) + 8, rows * (tile + 40) + 8), (250, 250, 248))
    pen = ImageDraw.Draw(sheet)
    for k, (picture, text) in enumerate(zip(pictures, words, strict=True)):
        x, y = 8 + k % columns * (tile + 8), 8 + k // columns * (tile + 40)
        sheet.paste(Image.fromarray(picture).resize((tile, tile), Image.Resampling.LANCZOS), (x, y))
        pen.multiline_text((x, y + tile + 2), _wrapped(text, tile // 6), fill=(60, 60, 60), font_size=10, spacing=1)
    return sheet


def write_answers(
    folder: Path | None, name: str, head: str, images: np.ndarray, words: Sequence[str], answers: Sequence[str]
) -> None:
    """Write the page `name`.md and its sheet `name`.jpg, or print the table if there is no folder.

    `answers` are the prompts that the judge picked, one for each of the prompts in `words`.
    """
    rows = ["| asked | judged | |", "|---|---|---|"]
    for text, answer in zip(words, answers, strict=True):
        rows.append(f"| {text} | {'the same | ✓' if answer == text else f'{answer} | ✗'} |")
    if not folder:
        print("\n".join(rows))
        return
    folder.mkdir(parents=True, exist_ok=True)
    contact_sheet(images, words, 10, 128).save(folder / f"{name}.jpg", quality=88)
    (folder / f"{name}.md").write_text(head + "\n".join(rows) + "\n")


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)[:3])
