"""Objectives: losses of a picture. Terms give them weights; `build` makes the terms of settings.

To add a loss for `--losses`, write a class in `losses.py` and a row in `LOSSES` of `vqclip_nb/loss_names.py`.
"""

from vqclip_nb.objectives.distances import DISTANCES, great_circle
from vqclip_nb.objectives.guide import Guide, Target, pull
from vqclip_nb.objectives.losses import Likeness, Smoothness
from vqclip_nb.objectives.terms import Objective, Term, losses_of, total

__all__ = [
    "DISTANCES",
    "Guide",
    "Likeness",
    "Objective",
    "Smoothness",
    "Target",
    "Term",
    "great_circle",
    "losses_of",
    "pull",
    "total",
]
