"""Loss names: `saturation:0.5 | palette(navy, white):0:(2), 60:(0)` read into names and weights. Needs no torch.

These losses need no perceptor. Some take colours in brackets after the name. Another package can add losses by entry
points in the group `vqclip_nb.objectives`: each names a class that is called without arguments and is an objective.
"""

import math
import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vqclip_nb import colours, plugins
from vqclip_nb.errors import SettingsError
from vqclip_nb.schedules import Number, Schedule
from vqclip_nb.schema import closest

GROUP = "vqclip_nb.objectives"
_HOME = "vqclip_nb.objectives.losses"


@dataclass(frozen=True)
class Loss:
    """A loss of this package.

    help: what it does. kind: the name of its class, or "" when a guide computes it. colours: the least and the largest
    number of colours it takes. of_canvas: whether its class is called with the canvas.
    """

    help: str
    kind: str
    colours: tuple[int, int] = (0, 0)
    of_canvas: bool = False


LOSSES = {
    "aesthetic": Loss(
        "a higher rating by a published aesthetic head; for the perceptors ViT-B/32, ViT-B/16, ViT-L/14", ""
    ),
    "edges": Loss("a border of one colour, a twentieth of each side wide: white, or edges(black)", "Edges", (0, 1)),
    "palette": Loss("each pixel near one of these colours: palette(navy, #ffcc00, white)", "Palette", (1, 64)),
    "range": Loss("no values beyond black and white, which would be clipped", "Range", of_canvas=True),
    "saturation": Loss("more colourful pictures; below 0, greyer ones", "Saturation"),
    "symmetry": Loss("the left half like the right, mirrored", "Symmetry"),
}
_NAME = r"(?P<name>[A-Za-z][\w-]*)\s*(?:\(\s*(?P<colours>[^()|:]*)\s*\)\s*)?"
_PART = re.compile(rf"{_NAME}(?::\s*(?P<weight>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?))?", re.I)
_KEYFRAMES = re.compile(rf"{_NAME}:\s*(?P<weight>\d+\s*:\s*\(.*|\(.*\))", re.DOTALL)


def names() -> list[str]:
    """The names of all losses: ours, then those of other packages."""
    return sorted(LOSSES) + sorted(plugins.entry_points_of(GROUP).keys() - LOSSES.keys())


def parse(text: str) -> dict[str, Number]:
    """The weight of each loss, by name and colours: `name`, `name:weight` or `name(colours):weight`, joined by `|`.

    A weight may be keyframes. Raises ValueError.
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
        numbers = weight.numbers if isinstance(weight, Schedule) else (weight,)
        if match is None or any(map(math.isinf, numbers)):
            raise ValueError(f"losses must be name:weight, joined by |, got {part!r}; such as saturation:0.5")
        name, colour_text = match["name"].lower(), match["colours"]
        if name not in names():
            hint = closest(name, names()) or f"; they are {', '.join(names())}"
            raise ValueError(f"there is no loss {match['name']!r}{hint}")
        _check(name, colour_text)
        weights[name if colour_text is None else f"{name}({colour_text.strip()})"] = weight
    return weights


def make(key: str, canvas: Any = None) -> Any:
    """A new objective, for a key that `parse` returned.

    Raises SettingsError when another package's cannot be loaded.
    """
    name, _, colour_text = key.rstrip(")").partition("(")
    if loss := LOSSES.get(name):
        kind = getattr(import_module(_HOME), loss.kind)
        if loss.of_canvas:
            return kind(canvas)
        return kind(colours.parse(colour_text, name=name)) if colour_text else kind()
    try:
        return plugins.entry_points_of(GROUP)[name].load()()
    except Exception as error:
        raise SettingsError(f"the loss {name!r} of another package cannot be loaded: {error}") from None


def _check(name: str, colour_text: str | None) -> None:
    """Raise ValueError when a loss has too many or too few colours."""
    least, most = LOSSES[name].colours if name in LOSSES else (0, 0)
    count = 0 if colour_text is None else len(colours.parse(colour_text, name=name))
    if least <= count <= most:
        return
    if not most:
        raise ValueError(f"the loss {name} takes no colours, got {name}({colour_text}); write {name}:1")
    expectation, example = ("colours", "navy, white") if most > 1 else ("one colour", "black")
    raise ValueError(f"the loss {name} takes {expectation}, got {count}; such as {name}({example}):1")
