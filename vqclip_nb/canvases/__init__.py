"""Canvases: what is painted on. Each module here whose name has no underscore is one, found by that name.

To add one, write `canvases/<name>.py` with a Canvas class and `CANVAS = <the class>`; `--canvas <name>` paints on it.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from vqclip_nb.canvases._canvas import Canvas

__all__ = ["Canvas", "make"]


def make(name: str, *, size: tuple[int, int], seeds: Sequence[int]) -> Canvas:
    """The canvas `family` or `family/model` with one picture per seed, on the CPU, ready to be painted.

    `size` is (width, height) in pixels; the canvas may round it down. Raises models.UnknownModel.
    """
    family, _, model = name.partition("/")
    kind = cast(type[Canvas], import_module(f"{__name__}.{family}").CANVAS)
    return kind.open(model, size=size, seeds=seeds)
