"""Estimates: the time and disk space of a sweep, from steps that are timed on this machine."""

import heapq
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vqclip_nb.models import shared
from vqclip_nb.session import paint
from vqclip_nb.sweeps.items import Item

_JPEG, _PNG, _STATE = 0.25, 1.5, 2_000_000  # bytes per pixel of a frame and of a result; bytes of two states


@dataclass(frozen=True)
class Estimate:
    """The time in seconds and the disk space in bytes that a number of pictures will take."""

    pictures: int
    seconds: float
    size: int


def estimate(items: Sequence[Item], *, workers: int | None = None) -> Estimate:
    """Time one step of each kind of item, and multiply. Writes nothing.

    workers: the number of Ray workers, each with a GPU or one CPU thread; None is this process alone.
    """
    import torch

    step_seconds: dict[tuple[object, ...], float] = {}
    size, threads = 0, torch.get_num_threads()
    free_at = [0.0] * (workers or 1)  # seconds until each worker is free
    if workers is not None:
        torch.set_num_threads(1)
    with shared.keep_loaded():
        for item in items:
            settings = item.settings
            kind = (settings.canvas, settings.perceptor, settings.size, str(settings.cutn), settings.variations)
            if kind not in step_seconds:
                step_seconds[kind] = _step(item)
            heapq.heapreplace(free_at, free_at[0] + settings.steps * step_seconds[kind])
            pixels = settings.size[0] * settings.size[1] * settings.variations
            frames = settings.steps // settings.every + 2
            size += round(pixels * (_JPEG * frames + _PNG)) + _STATE
    torch.set_num_threads(threads)
    return Estimate(len(items), max(free_at), size)


def workers_here() -> int:
    """The number of workers that Ray has on this machine: its GPUs, or without a GPU its CPUs."""
    import torch

    return torch.cuda.device_count() or os.cpu_count() or 1


def _step(item: Item) -> float:
    """The seconds of one step, step_seconds without the first."""
    painting = paint(item.settings.replace(steps=4, quiet=True))
    next(painting)
    start = time.monotonic()
    for _ in painting:
        pass
    return (time.monotonic() - start) / 3
