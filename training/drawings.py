"""Drawings: named drawings of free sets (fluent-emoji: MIT, noto: Apache 2.0), one picture for each noun and set.

`python training/drawings.py` fetches the sets by npm and draws them with resvg-py into training/cache, once.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from vqclip_nb.drawn_things import words

FOLDER = Path(__file__).parent / "cache" / "drawings"
SETS = ("fluent-emoji", "fluent-emoji-flat", "noto")  # MIT, MIT, Apache 2.0
SIDE = 256  # pixels of a drawing in memory

# Things that no set has, drawn here.
OURS = {
    "pyramid": '<path fill="#edc97c" d="M16 3 1 28h18z"/><path fill="#b98a42" d="m16 3 3 25h12z"/>'
    '<path stroke="#a87d3c" stroke-width=".5" d="M12 10h6M8 16h10M4.500 22h14"/>',
}


@cache
def drawing(noun: str, which: int) -> Image.Image:
    """A noun's drawing in one of the SETS: RGBA, its margin cut off, the longer side SIDE pixels."""
    path = FOLDER / SETS[which] / f"{noun}.webp"
    if not path.exists():
        raise SystemExit(f"there is no {path}; `python training/drawings.py` makes it")
    return Image.open(path).convert("RGBA")


def rendered(body: str, width: int, height: int) -> Image.Image:
    """The body of an SVG as a picture, such as `drawing` gives."""
    import resvg_py

    box = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{SIDE}" height="{SIDE}"'
    png = resvg_py.svg_to_bytes(svg_string=f"<svg {box}>{body}</svg>", width=SIDE, height=SIDE)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    image = image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 12)).getbbox())
    factor = SIDE / max(image.size)
    return image.resize([max(1, round(side * factor)) for side in image.size], Image.Resampling.LANCZOS)


def place(
    board: np.ndarray, image: Image.Image, at: tuple[float, float], *, side: float, turn: float, mirrored: bool, light
) -> None:
    """Draw a drawing onto a picture (n, n, 3) in [0, 1], its middle `at` (x, y) and its longer side `side` of n.

    `turn` is in degrees; `light` multiplies its colours.
    """
    n = len(board)
    if mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    factor = side * n / SIDE
    image = image.resize([max(1, round(length * factor)) for length in image.size], Image.Resampling.LANCZOS)
    drawn = np.asarray(image, np.float32) / 255
    left, top = round(at[0] * n - image.width / 2), round(at[1] * n - image.height / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + image.width, n), min(top + image.height, n)
    if x0 >= x1 or y0 >= y1:
        return
    part = drawn[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = part[..., 3:]
    board[y0:y1, x0:x1] = board[y0:y1, x0:x1] * (1 - alpha) + part[..., :3] * np.asarray(light, np.float32) * alpha


def main() -> None:
    """Fetch the sets, and draw each noun in each."""
    for name in SETS:
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        package = subprocess.run(
            ["npm", "pack", "--silent", f"@iconify-json/{name}"], cwd=FOLDER, check=True, capture_output=True, text=True
        )
        with tarfile.open(FOLDER / package.stdout.strip()) as file:
            icons = json.load(file.extractfile("package/icons.json"))
        (FOLDER / package.stdout.strip()).unlink()
        for noun, (_, title, _) in words().items():
            icon = icons["icons"].get(title) or {"body": OURS[title], "width": 32, "height": 32}
            width, height = (icon.get(side) or icons[side] for side in ("width", "height"))
            rendered(icon["body"], width, height).save(FOLDER / name / f"{noun}.webp", quality=90)
        print(f"{name}: {len(words())} drawings", flush=True)


if __name__ == "__main__":
    main()
