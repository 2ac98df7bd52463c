"""The form: a control for each field of Settings, with its title before it and its error below it."""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import ipywidgets as widgets

from vqclip_nb import canvases
from vqclip_nb.errors import SettingsError
from vqclip_nb.fields import GROUPS, FieldSpec, fields, live_fields
from vqclip_nb.schedules import Schedule
from vqclip_nb.settings import Settings
from vqclip_nb.studio import markup
from vqclip_nb.studio.camera_slider import CameraSlider
from vqclip_nb.studio.controls import as_schedule, control, help_text, is_text_box, models_offered, read, show
from vqclip_nb.studio.film_preview import preview
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.prompt_box import PromptBox
from vqclip_nb.studio.widget_help import explain

BASIC = ("size", "steps", "seed", "variations", "canvas", "perceptor")
WHERE = ("feather", "extend")  # fields below the mask
# Pictures and masks have boxes of their own. A video can be set on the command line and in Python.
# A panel does not use `quiet`.
ELSEWHERE = ("video", "video_flow", "image_prompts", "prompt_masks", "init_image", "mask", "quiet")


class Form:
    """The fields of Settings, and the options of the chosen canvas, as controls.

    changed: called with the name of a field that a person changed. extras: widgets below a field, by the field's name.
    """

    def __init__(
        self, changed: Callable[[str], object], extras: Mapping[str, widgets.Widget] = MappingProxyType({})
    ) -> None:
        self._changed, self._quiet, self._extras = changed, False, extras
        self.loaded: Callable[[], object] = lambda: None  # called when a prompt was loaded
        self.prompt = PromptBox(lambda: self._hear("", "prompt"))
        self._fields = {(field.owner, field.name): field for field in fields() if field.name not in ELSEWHERE}
        self._controls: dict[tuple[str, str], Any] = {
            key: self.prompt if field.name == "prompt" else control(field) for key, field in self._fields.items()
        }
        explain(self.prompt.text, f"{help_text(self._fields['', 'prompt'])}. Ctrl+Enter starts or applies")
        self.prompt.value = self._fields["", "prompt"].default
        self._errors = {key: widgets.HTML(layout={"display": "none"}) for key in self._fields}
        self._rows: dict[tuple[str, str], Any] = {}
        self._keyframes: dict[tuple[str, str], Schedule] = {}  # of controls that can show only one number
        self.dice = widgets.Button(description="Dice", icon="random", tooltip="Another seed")
        self.dice.add_class("vq-dice")
        self.dice.on_click(lambda _: setattr(self._controls["", "seed"], "value", secrets.randbelow(2**31)))
        for key, widget in self._controls.items():
            if widget is not self.prompt:
                widget.observe(lambda _, key=key: self._hear(*key), "value")
        self.basic = widgets.VBox([self._row("", name) for name in BASIC])
        self.where = widgets.VBox([self._row("", name) for name in WHERE])
        self.advanced = widgets.VBox(self._groups([heading for heading in GROUPS if heading != "Film"]))
        self.film_preview = widgets.HTML()
        self.film_preview.add_class("vq-ahead")
        film = self._groups(["Film"])
        film.insert(film.index(self._rows["", "zoom"]), self.film_preview)  # above the camera, which it follows
        self.film = widgets.VBox(film)
        self._suit()
        self._draw_film()

    @property
    def controls(self) -> dict[str, Any]:
        """The controls by the names of their fields, with the options of the chosen canvas."""
        return {name: self._controls[owner, name] for owner, name in self._chosen()}

    def value(self, name: str) -> Any:
        """The value of a control, for Settings."""
        key = self._key(name)
        return self._keyframes.get(key) or read(self._controls[key], self._fields[key])

    def values(self) -> dict[str, Any]:
        """All values by field except the pictures, with the options of the chosen canvas."""
        return {name: self.value(name) for name in self.controls}

    def load(self, values: Mapping[str, Any]) -> None:
        """Set the controls without firing callbacks."""
        self._quiet = True
        try:
            for name in ("canvas", *values, *values.get("canvas_options", {})):
                value = values[name] if name in values else values.get("canvas_options", {}).get(name)
                if name in self.controls and (name in values or name in values.get("canvas_options", {})):
                    self._load(self._key(name), value)
        finally:
            self._quiet = False
        self._suit()
        self._draw_film()
        if "prompt" in values:
            self.loaded()

    def take_colours(self, colours: str) -> None:
        """Write colours into the canvas's fixed palette if it has one, else into the losses, and replace others."""
        if "fixed_palette" in self.controls:
            self.controls["palette"].value, self.controls["fixed_palette"].value = 0, colours
            return
        losses = self.controls["losses"]
        others = [part.strip() for part in losses.value.split("|") if not re.match(r"\s*(palette\b|$)", part)]
        losses.value = " | ".join([*others, f"palette({colours}):1"])

    def show_errors(self, errors: Mapping[str, str]) -> None:
        """Mark the invalid fields, and no others. errors: messages by field."""
        for (_, name), shown in self._errors.items():
            text = markup.field_error(errors[name]) if name in errors else ""
            if shown.value != text:
                shown.value, shown.layout.display = text, "" if text else "none"

    def freeze(self, running: bool, *, wholly: bool = False) -> None:
        """Disable the fields that cannot change during a run, or with `wholly` all fields."""
        live = live_fields()
        for (_, name), widget in self._controls.items():
            widget.disabled = wholly or (running and name not in live)
            if isinstance(widget, CameraSlider):
                widget.continuous = not running  # a run is changed when the slider is released
        self.dice.disabled = wholly

    def refresh_models(self) -> None:
        """Read again which models are on this machine."""
        self._quiet = True
        for name in ("canvas", "perceptor"):
            widget = self._controls["", name]
            chosen, options = widget.value, models_offered(name)
            if tuple(options) != tuple(widget.options):
                with widget.hold_sync():
                    widget.options = options
                    show(widget, self._fields["", name], chosen)
        self._quiet = False

    def mark_sizes(self, most_pixels: float) -> None:
        """Mark the sizes that fit the GPU. most_pixels: the largest picture, as measured."""
        self._controls["", "size"].mark(most_pixels)

    def _load(self, key: tuple[str, str], value: Any) -> None:
        """Show a value. A control shows the first number of keyframes, which are kept until a person moves it."""
        field = self._fields[key]
        self._keyframes.pop(key, None)
        if field.scheduled and not is_text_box(field) and (schedule := as_schedule(value)):
            self._keyframes[key] = schedule
            value = schedule.numbers[0]
        show(self._controls[key], field, value)

    def _hear(self, owner: str, name: str) -> None:
        if not self._quiet:
            self._keyframes.pop((owner, name), None)
            if name in ("canvas", "perceptor"):
                self._suit()
            self._draw_film()
            self._changed(name)

    def _draw_film(self) -> None:
        """Draw the film that the form asks for; while a value is not allowed, the last one stays."""
        with suppress(SettingsError):
            self.film_preview.value = preview(Settings(**self.values()))

    def _suit(self) -> None:
        """Show the options of the chosen canvas, and suggestions with the words that the chosen perceptor knows."""
        self.prompt.suit(self._controls["", "perceptor"].value)
        kind = self._controls["", "canvas"].value.partition("/")[0]
        for (owner, _), row in self._rows.items():
            row.layout.display = "" if owner in ("", kind) else "none"

    def _chosen(self) -> list[tuple[str, str]]:
        kind = self._controls["", "canvas"].value.partition("/")[0]
        return [key for key in self._controls if key[0] in ("", kind)]

    def _key(self, name: str) -> tuple[str, str]:
        return next(key for key in self._chosen() if key[1] == name)

    def _row(self, owner: str, name: str) -> widgets.Widget:
        """The title, control, error line and extra widgets of a field."""
        field = self._fields[owner, name]
        title = widgets.HTML(markup.label(field.title, help_text(field)))
        title.add_class("vq-label")
        parts = widgets.HBox([title, self._controls[owner, name], *([self.dice] if name == "seed" else [])])
        parts.add_class("vq-field")
        extra = [self._extras[name]] if name in self._extras else []
        row = widgets.VBox([parts, self._errors[owner, name], *extra])
        row.add_class("vq-row")
        self._rows[owner, name] = row
        return row

    def _groups(self, headings: Sequence[str]) -> list[widgets.Widget]:
        """The advanced fields of these groups under their headings, and each canvas's options under its name."""
        groups: dict[str, list[FieldSpec]] = {}
        for heading in headings:
            for field in self._fields.values():
                if field.group == heading and field.name not in (*BASIC, *WHERE, "prompt"):
                    title = f"Canvas: {canvases.spec(field.owner).name}" if field.owner else heading
                    groups.setdefault(title, []).append(field)
        parts = []
        for heading, members in groups.items():
            title = widgets.HTML(markup.heading(heading))
            if owner := members[0].owner:
                self._rows[owner, ""] = title
            parts += [title, *(self._row(field.owner, field.name) for field in members)]
        keep_heard(*parts)
        return parts
