"""Relay: canvases that take over during a run, each from a step on: `60:vqgan/demo | 90%:pixels`. Needs no torch."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vqclip_nb import canvases
from vqclip_nb.schedules import Schedule

if TYPE_CHECKING:
    from vqclip_nb.settings import Settings

FIELDS = ("canvas", "canvas_options")  # the fields that only a relay may change during a run

_PART = re.compile(r"(?P<step>\d{1,8})(?P<percent>\s*%)?\s*:\s*(?P<canvas>\S+)")


def parse(text: str) -> list[tuple[int, bool, str]]:
    """Read a relay as triples: the step a canvas starts at, whether that is a percentage, and the canvas's name.

    Raises ValueError.
    """
    legs = []
    for part in (part.strip() for part in text.split("|")):
        if not part:
            continue
        match = _PART.fullmatch(part)
        if match is None or (match["percent"] and int(match["step"]) > 100):
            raise ValueError(
                f"relay must be step:canvas, joined by |, got {part!r}; such as 60:vqgan/demo, or 50%:pixels"
            )
        canvases.check(match["canvas"])
        legs.append((int(match["step"]), bool(match["percent"]), match["canvas"]))
    return legs


def canvas_at(text: str, step: int, steps: int) -> str | None:
    """The canvas that takes over after `step` of `steps` steps, or None."""
    begins = {round(number * steps / 100) if percent else number: name for number, percent, name in parse(text)}
    return begins.get(step)


def with_canvas(changes: Mapping[str, Any], settings: "Settings") -> dict[str, Any]:
    """Complete changes of settings: a change of canvas also changes the options and the step size to its own.

    A step size that is scheduled, or among the changes, is kept.
    """
    new = dict(changes)
    if new.get("canvas", settings.canvas) == settings.canvas:
        return {name: value for name, value in new.items() if name != "canvas"}
    own = {field.name for field in canvases.spec(new["canvas"]).fields}
    options = {name: new.pop(name) for name in own & new.keys()}
    lr = {} if isinstance(settings.lr, Schedule) else {"lr": None}
    return {**lr, **new, "canvas_options": {**new.get("canvas_options", {}), **options}}
