"""Handover: a painting's state for the disk, and the canvas that takes over its picture in a relay."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vqclip_nb import canvases
from vqclip_nb.canvases import Canvas
from vqclip_nb.errors import SettingsError
from vqclip_nb.lowest_loss import LowestLoss
from vqclip_nb.settings import Settings

if TYPE_CHECKING:
    from vqclip_nb.painting import Painting


def canvas_of(settings: Settings, canvas: Canvas, device: torch.device, *, paints: str) -> Canvas:
    """The canvas of these settings, to take over from `canvas`, whose name is `paints`.

    Raises SettingsError when its pictures have another size.
    """
    options = settings.canvas_options
    other = canvases.make(settings.canvas, size=settings.size, seeds=settings.seeds, options=options).to(device)
    with torch.no_grad():
        (height, width), (ours, across) = other().shape[-2:], canvas().shape[-2:]
    if (height, width) != (ours, across):
        sizes = f"paints {width} x {height} pixels, and {paints} {across} x {ours}"
        remedy = f"--size {min(width, across)} {min(height, ours)}"
        raise SettingsError(f"relay must be between canvases of one size: {settings.canvas} {sizes}; paint {remedy}")
    return other


def state_of(painting: "Painting") -> dict[str, Any]:
    """The state to resume from: `tensors` by name, and `facts` that JSON can hold."""
    tensors = {f"canvas.{name}": value for name, value in painting.canvas.learned().items()}
    tensors |= {f"optimizer.{name}": value for name, value in painting.optimizer.state().items()}
    tensors |= painting.averages.state()
    if LowestLoss.on(painting.settings):
        tensors |= {f"lowest.{name}": value for name, value in painting.lowest.state().items()}
    tensors |= {f"keepsake.{name}": value for name, value in painting.keepsakes.items()}
    facts = {
        "step": painting.step_count,
        "average_from": painting.averages.since,
        "lr_scale": painting.lr_scale,
        "optimizer": painting.optimizer.count,
        "parts": painting.guard.parts,
        "thrifty": painting.canvas.thrifty,
        "precision": painting.canvas.precision.name if painting.guard.settled else None,
        "settings": painting.settings.to_dict(),
        "timeline": [change.to_dict() for change in painting.timeline],
    }
    return {"tensors": {name: _own(value) for name, value in tensors.items()}, "facts": facts}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _own(value: Tensor) -> Tensor:
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
