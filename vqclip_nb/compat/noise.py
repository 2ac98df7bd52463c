"""Noise pictures: the start images of generate.py's `-in`."""

from pathlib import Path

from PIL import Image

KINDS = ("pixels", "gradient")


def write_noise(path: Path, kind: str, size: tuple[int, int], seed: int) -> None:
    """Write a picture of one of KINDS: random pixels, or a smooth gradient of colours.

    size: width and height in pixels. The same seed gives the same picture. Raises OSError.
    """
    import numpy as np

    from vqclip_nb.embedded import write_as

    draw, (width, height) = np.random.default_rng(seed), size
    if kind == "pixels":
        pixels = draw.integers(0, 256, (height, width, 3))
    else:  # red from left to right, green and blue from top to bottom
        begin, end = draw.integers(0, 256, (2, 3))
        across, down = np.linspace(0, 1, width)[None, :], np.linspace(0, 1, height)[:, None]
        shares = np.stack(np.broadcast_arrays(across, down, down), -1)
        pixels = begin + (end - begin) * shares
    write_as(Image.fromarray(pixels.astype(np.uint8)), path)
