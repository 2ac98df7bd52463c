"""Estimates: how long a sweep takes and how much disk, from steps that are measured here."""

import heapq
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vqclip_nb.models import shared
from vqclip_nb.session import paint
from vqclip_nb.sweeps.items import Item

_JPEG, _PNG, _STATE = 0.25, 1.5, 2_000_000  # bytes for a pixel of a frame and of a result; bytes for two states


@dataclass(frozen=True)
class Estimate:
    """The time in seconds and the disk in bytes that pictures will take."""

    pictures: int
    seconds: float
    size: int


def estimate(items: Sequence[Item], *, workers: int | None = None) -> Estimate:
    """Measure one step of each kind of item, and multiply. Writes nothing.

    workers: so many of Ray's paint at once, each with a GPU, or with one thread. None is this process alone.
    """
    import torch

    measured: dict[tuple[object, ...], float] = {}
    size, threads = 0, torch.get_num_threads()
    free_at = [0.0] * (workers or 1)  # when each worker is free again, in seconds
    if workers is not None:
        torch.set_num_threads(1)
    with shared.keep_loaded():
        for item in items:
            settings = item.settings
            kind = (settings.canvas, settings.perceptor, settings.size, str(settings.cutn), settings.variations)
            if kind not in measured:
                measured[kind] = _step(item)
            heapq.heapreplace(free_at, free_at[0] + settings.steps * measured[kind])
            pixels = settings.size[0] * settings.size[1] * settings.variations
            frames = settings.steps // settings.every + 2
            size += round(pixels * (_JPEG * frames + _PNG)) + _STATE
    torch.set_num_threads(threads)
    return Estimate(len(items), max(free_at), size)


def workers_here() -> int:
    """The workers that Ray has on this machine: one for each GPU, or where there is none each CPU."""
    import torch

    return torch.cuda.device_count() or os.cpu_count() or 1


def _step(item: Item) -> float:
    """The seconds of one step, the first left out."""
    painting = paint(item.settings.replace(steps=4, quiet=True))
    next(painting)
    start = time.monotonic()
    for _ in painting:
        pass
    return (time.monotonic() - start) / 3
