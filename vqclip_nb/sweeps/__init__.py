"""Sweeps: many pictures from lists of prompts, seeds and settings. Nothing but the faces imports this one."""

from typing import TYPE_CHECKING, Any

from vqclip_nb.sweeps.items import Item, read_items
from vqclip_nb.sweeps.results import Result

if TYPE_CHECKING:
    from vqclip_nb.sweeps.paint import sweep

__all__ = ["Item", "Result", "read_items", "sweep"]


def __getattr__(name: str) -> Any:
    if name != "sweep":  # which imports torch, so only when asked for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vqclip_nb.sweeps.paint import sweep

    return sweep
