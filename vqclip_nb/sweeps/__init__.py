"""Sweeps: many pictures from lists of prompts, seeds and settings. Only the faces import this package."""

from typing import TYPE_CHECKING, Any

from vqclip_nb.sweeps.items import Item, read_items
from vqclip_nb.sweeps.results import Result

if TYPE_CHECKING:
    from vqclip_nb.sweeps.cluster import sweep_on_ray
    from vqclip_nb.sweeps.paint import sweep

__all__ = ["Item", "Result", "read_items", "sweep", "sweep_on_ray"]
_LAZY = {"sweep": "paint", "sweep_on_ray": "cluster"}  # these import torch, so they are loaded on first use


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
