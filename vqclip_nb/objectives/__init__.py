"""Objectives: what pulls at a picture. Terms weigh them; `build` makes the terms that settings ask for.

To add a loss that `--losses` can name: a class in `losses.py`, and a row in `LOSSES` of `vqclip_nb/loss_names.py`.
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
