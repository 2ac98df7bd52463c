"""Palettes: the colours of a picture as text for the settings, which then do not need the picture. Needs no torch."""

import re
from collections import Counter
from pathlib import Path

from PIL import Image

from vqclip_nb import images
from vqclip_nb.errors import SettingsError

COUNT, MOST = 8, 64  # the default and the largest number of colours
_SIDE = 192  # pixels of the longer side, after shrinking
_FILE = re.compile(r"\s*(?P<name>[^|]*\.[A-Za-z]{2,5})\s*(?:\s(?P<count>\d+)\s*)?")  # a colour never contains a point
_LOSS = re.compile(r"(?P<head>\bpalette\s*\()(?P<inside>[^()|]*)(?P<tail>\))", re.IGNORECASE)


def of_picture(path: str | Path, count: int = COUNT) -> str:
    """The `count` most representative colours of a picture, the most common first: `#1f3a5f, #ffcc00`.

    Uses median cut and k-means. A picture with fewer colours gives fewer. Raises PictureError, SettingsError.
    """
    if not 1 <= count <= MOST:
        raise SettingsError(f"colours of a picture must be from 1 to {MOST}, got {count}")
    pil = images.read(images.locate(str(path), field="palette"), field="palette")
    pil.thumbnail((_SIDE, _SIDE), Image.Resampling.NEAREST)  # nearest pixels do not mix colours
    shades = pil.quantize(count, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).convert("RGB")
    times = Counter(shades.tobytes()[at : at + 3] for at in range(0, 3 * shades.width * shades.height, 3))
    return ", ".join(f"#{colour.hex()}" for colour, _ in times.most_common())


def replace_picture(text: str) -> str:
    """Replace a picture's name, with an optional count (`photo.jpg 5`), by its colours. Other text is unchanged."""
    match = _FILE.fullmatch(text)
    return of_picture(match["name"].strip(), int(match["count"] or COUNT)) if match else text


def replace_pictures_in_losses(text: str) -> str:
    """Replace each picture's name in losses, as in `palette(photo.jpg)`, by its colours."""
    return _LOSS.sub(lambda match: match["head"] + replace_picture(match["inside"]) + match["tail"], text)
