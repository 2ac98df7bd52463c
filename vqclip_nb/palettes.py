"""Palettes: the colours of a picture, written as text into the settings, which then need no picture. Needs no torch."""

import re
from collections import Counter
from pathlib import Path

from PIL import Image

from vqclip_nb import images
from vqclip_nb.errors import SettingsError

COUNT, MOST = 8, 64  # colours that are taken of a picture, where no number is given, and at most
_SIDE = 192  # pixels of the longer side that are looked at
_FILE = re.compile(r"\s*(?P<name>[^|]*\.[A-Za-z]{2,5})\s*(?:\s(?P<count>\d+)\s*)?")  # no colour has a point in it
_LOSS = re.compile(r"(?P<head>\bpalette\s*\()(?P<inside>[^()|]*)(?P<tail>\))", re.IGNORECASE)


def of_picture(path: str | Path, count: int = COUNT) -> str:
    """The `count` colours that stand best for a picture, the commonest first: `#1f3a5f, #ffcc00`.

    By median cut and k-means. A picture of fewer colours gives those. Raises PictureError, SettingsError.
    """
    if not 1 <= count <= MOST:
        raise SettingsError(f"colours of a picture must be from 1 to {MOST}, got {count}")
    pil = images.read(images.locate(str(path), field="palette"), field="palette")
    pil.thumbnail((_SIDE, _SIDE), Image.Resampling.NEAREST)  # which mixes no colours
    shades = pil.quantize(count, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).convert("RGB")
    times = Counter(shades.tobytes()[at : at + 3] for at in range(0, 3 * shades.width * shades.height, 3))
    return ", ".join(f"#{colour.hex()}" for colour, _ in times.most_common())


def replace_picture(text: str) -> str:
    """Colours of a picture in place of its name, with a count behind it or not: `photo.jpg 5`. Other text stays."""
    match = _FILE.fullmatch(text)
    return of_picture(match["name"].strip(), int(match["count"] or COUNT)) if match else text


def replace_pictures_in_losses(text: str) -> str:
    """Losses in which `palette(photo.jpg)` names a picture, with its colours in place of its name."""
    return _LOSS.sub(lambda match: match["head"] + replace_picture(match["inside"]) + match["tail"], text)
