"""Loss names: `saturation:0.5 | symmetry:0:(2), 60:(0)` read into names and weights. Needs no torch.

These losses need no perceptor. Another package adds one by an entry point in the group `vqclip_nb.objectives` that
names a class: called without arguments it gives an objective.
"""

import math
import re
from importlib import import_module
from typing import Any

from vqclip_nb import plugins
from vqclip_nb.errors import SettingsError
from vqclip_nb.schedules import Number, Schedule
from vqclip_nb.schema import closest

GROUP = "vqclip_nb.objectives"
LOSSES = {  # by name: what it does, and its class
    "edges": ("a white frame, a twentieth of each side", "vqclip_nb.objectives.losses:Edges"),
    "saturation": ("more colourful pictures; below 0, greyer ones", "vqclip_nb.objectives.losses:Saturation"),
    "symmetry": ("the left half like the right, mirrored", "vqclip_nb.objectives.losses:Symmetry"),
}
_PART = re.compile(r"(?P<name>[A-Za-z][\w-]*)\s*(?::\s*(?P<weight>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?))?", re.I)
_KEYFRAMES = re.compile(r"(?P<name>[A-Za-z][\w-]*)\s*:\s*(?P<weight>\d+\s*:\s*\(.*)", re.DOTALL)


def names() -> list[str]:
    """The names of all losses: ours, then those of other packages."""
    return sorted(LOSSES) + sorted(plugins.found(GROUP).keys() - LOSSES.keys())


def parse(text: str) -> dict[str, Number]:
    """The weight of each loss, by name: `name` or `name:weight`, joined by `|`; a weight may be keyframes.

    Raises ValueError.
    """
    weights: dict[str, Number] = {}
    for part in (part.strip() for part in text.split("|")):
        if not part:
            continue
        weight: Number = 1.0
        if match := _KEYFRAMES.fullmatch(part):
            weight = Schedule.parse(match["weight"], name=f"losses: {match['name']}")
        elif match := _PART.fullmatch(part):
            weight = float(match["weight"] or 1)
        if match is None or not all(map(math.isfinite, weight.numbers if isinstance(weight, Schedule) else (weight,))):
            raise ValueError(f"losses must be name:weight, joined by |, got {part!r}; such as saturation:0.5")
        if match["name"].lower() not in names():
            known = closest(match["name"].lower(), names()) or f"; they are {', '.join(names())}"
            raise ValueError(f"there is no loss {match['name']!r}{known}")
        weights[match["name"].lower()] = weight
    return weights


def make(name: str) -> Any:
    """A new objective, by the name of a loss. Raises SettingsError when another package's cannot be loaded."""
    if name in LOSSES:
        module, _, kind = LOSSES[name][1].partition(":")
        return getattr(import_module(module), kind)()
    try:
        return plugins.found(GROUP)[name].load()()
    except Exception as error:
        raise SettingsError(f"the loss {name!r} of another package cannot be loaded: {error}") from None
