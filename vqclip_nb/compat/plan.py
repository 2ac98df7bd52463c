"""Plan: what a command of another tool asks for here: settings, and the files that the tool would have written."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vqclip_nb import canvases, presets
from vqclip_nb.settings import Settings

MOST_FRAMES = 1000


@dataclass(frozen=True)
class Outputs:
    """The files of a tool.

    picture: where its picture goes. every: it is written anew every so many steps; 0 is at the end alone. after: the
    step of the first writing. numbered: a pattern for pictures that stay, with the number of the writing in it, or "";
    the first to be written has the number `first_number`. best: where the picture nearest to the prompt goes, or None.
    films: where films go. seconds: how long they last, or None.
    """

    picture: Path
    every: int = 0
    after: int = 0
    numbered: str = ""
    best: Path | None = None
    first_number: int = 0
    films: tuple[Path, ...] = ()
    seconds: float | None = None

    def number(self, step: int) -> int | None:
        """The number of the writing after this step, or None where nothing is written then."""
        count = step - self.after
        return count // self.every if self.every and count >= 0 and count % self.every == 0 else None


@dataclass(frozen=True)
class Plan:
    """preset: the recipe that the settings begin with, or "". changes: the settings beside it. notes: what to say."""

    preset: str
    changes: Mapping[str, Any]
    outputs: Outputs
    notes: tuple[str, ...] = field(default=())
    length: str = ""  # the steps as the tool counts them, such as "20 epochs of 1,050"
    usual: frozenset[str] = frozenset()  # the changes that nobody typed: the tool's own defaults
    noise: str = ""  # the kind of noise to write as the start image, before anything is painted
    asks: bool = False  # whether the tool asks before it overwrites its picture

    @cached_property
    def settings(self) -> Settings:
        """What is painted. Raises SettingsError."""
        begin = presets.load(self.preset).settings if self.preset else {}
        settings = Settings(**{**begin, **self.changes})
        return settings.replace(every=kept_every(settings.steps, self.outputs.every))

    def on_demo(self) -> "Plan":
        """What was typed, by the models that come with the package and the settings that suit them."""
        canvas = str({**presets.load(self.preset).settings, **self.changes}["canvas"])
        canvas = "vqgan/demo" if canvases.spec(canvas).model_kind else canvas
        explicit = {name: value for name, value in self.changes.items() if name not in self.usual}
        return replace(
            self, preset="", changes=canvases.suiting(explicit, canvas) | {"canvas": canvas, "perceptor": "demo"}
        )

    def at(self, **run_options: Any) -> "Plan":
        """The same at another place: settings such as `device` and `out`."""
        return replace(self, changes={**self.changes, **run_options})


def kept_every(steps: int, interval: int) -> int:
    """Of how many frames one is kept, so that a long run keeps one to two thousand; each that is written is kept."""
    most = max(1, steps // MOST_FRAMES)
    return max(number for number in range(1, most + 1) if interval % number == 0)
