"""The form: a control for each field of Settings, with its title before it and its error below it."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from vqclip_nb.settings import GROUPS, Settings, group, live_fields
from vqclip_nb.studio import markup
from vqclip_nb.studio.controls import control, help_text, models_offered, read, show
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.prompt_box import PromptBox

BASIC = ("size", "steps", "seed", "variations", "canvas", "perceptor")
ELSEWHERE = ("image_prompts", "init_image", "quiet")  # pictures have a box of their own; a panel has no use for quiet


class Form:
    """The fields of Settings as controls; `controls` has them by name.

    changed: called with the name of a field that a person changed. extras: widgets to put below a field, by its name.
    """

    def __init__(self, changed: Callable[[str], object], extras: Mapping[str, widgets.Widget] = {}) -> None:
        self._changed, self._quiet, self._extras = changed, False, extras
        self.prompt = PromptBox(lambda: self._hear("prompt"))
        names = [name for name in Settings.model_fields if name not in (*ELSEWHERE, "prompt")]
        self.controls: dict[str, Any] = {"prompt": self.prompt} | {name: control(name) for name in names}
        self.errors = {name: widgets.HTML() for name in self.controls}
        self.dice = widgets.Button(description="Dice", icon="random", tooltip="Another seed")
        self.dice.add_class("vq-dice")
        self.dice.on_click(lambda _: setattr(self.controls["seed"], "value", secrets.randbelow(2**31)))
        for name in names:
            self.controls[name].observe(lambda _, name=name: self._hear(name), "value")
        for error in self.errors.values():
            error.layout.display = "none"
        self.basic = widgets.VBox([self._row(name) for name in BASIC])
        self.advanced = widgets.VBox(self._groups())
        self.prompt.suit(self.value("perceptor"))

    def value(self, name: str) -> Any:
        """The value of a control, as Settings wants it."""
        return read(self.controls[name], name)

    def values(self) -> dict[str, Any]:
        """Every field but the given pictures."""
        return {name: self.value(name) for name in self.controls}

    def load(self, values: Mapping[str, Any]) -> None:
        """Set the controls without firing callbacks."""
        self._quiet = True
        try:
            for name, value in values.items():
                if name in self.controls:
                    show(self.controls[name], name, value)
        finally:
            self._quiet = False
        self.prompt.suit(self.value("perceptor"))

    def show_errors(self, errors: Mapping[str, str]) -> None:
        """Mark the fields that are wrong, and no others."""
        for name, shown in self.errors.items():
            text = markup.field_error(errors[name]) if name in errors else ""
            if shown.value != text:
                shown.value, shown.layout.display = text, "" if text else "none"

    def freeze(self, running: bool, *, wholly: bool = False) -> None:
        """While a run goes on, grey out what cannot change in flight, or all."""
        live = live_fields()
        for name, widget in self.controls.items():
            widget.disabled = wholly or (running and name not in live)
        self.dice.disabled = wholly

    def refresh_models(self) -> None:
        """Read anew which models are on this machine."""
        self._quiet = True
        for name in ("canvas", "perceptor"):
            chosen = self.controls[name].value
            self.controls[name].options = models_offered(name)
            show(self.controls[name], name, chosen)
        self._quiet = False

    def mark_sizes(self, most_pixels: float) -> None:
        """Mark the sizes that fit the GPU, as measured."""
        self.controls["size"].mark(most_pixels)

    def _hear(self, name: str) -> None:
        if not self._quiet:
            if name == "perceptor":
                self.prompt.suit(self.value("perceptor"))
            self._changed(name)

    def _row(self, name: str) -> widgets.Widget:
        """A title, its control, its error, and what else belongs to it."""
        title = widgets.HTML(markup.label(Settings.model_fields[name].title or name, help_text(name)))
        title.add_class("vq-label")
        field = widgets.HBox([title, self.controls[name], *([self.dice] if name == "seed" else [])])
        field.add_class("vq-field")
        extra = [self._extras[name]] if name in self._extras else []
        row = widgets.VBox([field, self.errors[name], *extra])
        row.add_class("vq-row")
        return row

    def _groups(self) -> list[widgets.Widget]:
        """All that is not basic, under the headings of its group."""
        parts: list[widgets.Widget] = []
        for heading in GROUPS:
            names = [n for n in self.controls if group(n) == heading and n not in (*BASIC, "prompt")]
            if names:
                parts += [widgets.HTML(markup.heading(heading)), *(self._row(name) for name in names)]
        keep_heard(*parts)
        return parts
