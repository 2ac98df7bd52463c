"""Plans: a command of another tool as settings, and the files that the tool would have written."""

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

    picture: the path of its picture. every: the steps between two writings of it; 0 writes it at the end only. after:
    the step of the first writing. numbered: a path pattern for numbered pictures, or ""; they begin with the number
    `first_number`. best: the path of the picture nearest to the prompt, or None. films: their paths. seconds: the
    length of the films, or None.
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
        """The number of the writing after this step, or None if nothing is written then."""
        count = step - self.after
        return count // self.every if self.every and count >= 0 and count % self.every == 0 else None


@dataclass(frozen=True)
class Plan:
    """A command as settings and files.

    preset: the preset that the settings start from, or "". changes: the other settings. notes: messages for the user.
    """

    preset: str
    changes: Mapping[str, Any]
    outputs: Outputs
    notes: tuple[str, ...] = field(default=())
    length: str = ""  # the steps as the tool counts them, such as "20 epochs of 1,050"
    tool_defaults: frozenset[str] = frozenset()  # names among `changes` that were not typed: defaults of the tool
    noise: str = ""  # the kind of noise to write as the start image
    asks_to_overwrite: bool = False  # whether the tool asks before it overwrites its picture

    @cached_property
    def settings(self) -> Settings:
        """The settings to paint with. Raises SettingsError."""
        base = presets.load(self.preset).settings if self.preset else {}
        settings = Settings(**{**base, **self.changes})
        return settings.replace(every=frame_interval(settings.steps, self.outputs.every))

    def on_demo(self) -> "Plan":
        """The same plan with the demo models, and with their defaults for options that were not typed."""
        canvas = str({**presets.load(self.preset).settings, **self.changes}["canvas"])
        canvas = "vqgan/demo" if canvases.spec(canvas).model_kind else canvas
        explicit = {name: value for name, value in self.changes.items() if name not in self.tool_defaults}
        return replace(
            self, preset="", changes=canvases.suiting(explicit, canvas) | {"canvas": canvas, "perceptor": "demo"}
        )

    def with_run_options(self, **run_options: Any) -> "Plan":
        """The same plan with other run options, such as `device` and `out`."""
        return replace(self, changes={**self.changes, **run_options})


def frame_interval(steps: int, interval: int) -> int:
    """The largest interval between kept frames that leaves at least 1000 frames and divides `interval`."""
    most = max(1, steps // MOST_FRAMES)
    return max(number for number in range(1, most + 1) if interval % number == 0)
