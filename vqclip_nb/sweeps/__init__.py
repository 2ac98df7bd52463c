"""Sweeps: many pictures from lists of prompts, seeds and settings. Nothing else in the package imports this one."""

from vqclip_nb.sweeps.items import Item, read_items
from vqclip_nb.sweeps.paint import Result, sweep

__all__ = ["Item", "Result", "read_items", "sweep"]
