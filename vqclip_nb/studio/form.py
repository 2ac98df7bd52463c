"""Form: a widget for each field of Settings, made from what the field says of itself."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from vqclip_nb import canvases, models
from vqclip_nb.errors import SettingsError
from vqclip_nb.fields import GROUPS, by_name, fields, live_fields
from vqclip_nb.schedules import Schedule

SHOWN_FIRST = ("canvas", "perceptor", "size", "steps", "seed", "variations", "lr", "cutn")
TYPED = [field.name for field in fields() if field.default is None and field.limits]  # or left out
ELSEWHERE = ("image_prompts", "init_image", "quiet")  # pictures have a box of their own; a panel has no use for quiet
SLIDERS = {"steps": (10, 1000, 10), "variations": (1, 16, 1), "cutn": (2, 128, 2), "average": (0.0, 0.99, 0.01)}
SIDES = (128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1536, 2048)
PAIRS = ("ViT-B/32+ViT-B/16",)  # perceptors that judge well together
SHAPES = {"square": (1, 1), "wide": (4, 3), "tall": (3, 4), "banner": (2, 1)}
CAPTION = {"style": {"description_width": "120px"}, "layout": {"width": "98%"}}


class Form:
    """The fields of Settings as controls; `controls` has them by name.

    changed: called with the name of a field that a person changed.
    """

    def __init__(self, changed: Callable[[str], object]) -> None:
        self._changed, self._quiet = changed, False
        self._keyframes: dict[str, Schedule] = {}  # of controls that can show one number alone
        self.controls = {field.name: control(field.name) for field in fields() if field.name not in ELSEWHERE}
        self.dice = widgets.Button(description="Dice", icon="random", tooltip="Another seed", layout={"width": "80px"})
        self.dice.on_click(lambda _: setattr(self.controls["seed"], "value", secrets.randbelow(2**31)))
        for name, widget in self.controls.items():
            widget.observe(lambda _, name=name: self._hear(name), "value")

    @property
    def first(self) -> widgets.Widget:
        """The controls that everybody uses."""
        seed = widgets.HBox([self.controls["seed"], self.dice], layout={"width": "100%"})
        self.controls["seed"].layout.width = "auto"
        self.controls["seed"].layout.flex = "1 1 150px"
        return widgets.VBox([seed if name == "seed" else self.controls[name] for name in SHOWN_FIRST])

    @property
    def rest(self) -> widgets.Widget:
        """All other controls, by group."""
        parts: list[widgets.Widget] = []
        for heading in GROUPS:
            names = [n for n in self.controls if by_name(n).group == heading and n not in (*SHOWN_FIRST, "prompt")]
            if names:
                parts += [widgets.HTML(f"<b>{heading}</b>"), *(self.controls[name] for name in names)]
        return widgets.VBox(parts)

    def value(self, name: str) -> Any:
        """What a control says, as Settings wants it."""
        value = self.controls[name].value
        if name in self._keyframes:
            return self._keyframes[name]
        if name in TYPED:
            return _number(value)
        return tuple(map(int, value.split(" "))) if name == "size" else value

    def values(self) -> dict[str, Any]:
        """Every field but the pictures; of the options of canvases those of the chosen one."""
        chosen = {field.name for field in canvases.spec(self.controls["canvas"].value).fields}
        own = [name for name in self.controls if not canvases.owners(name) or name in chosen]
        return {name: self.value(name) for name in own}

    def load(self, values: Mapping[str, Any]) -> None:
        """Show these settings; nobody hears of it as of a change."""
        self._quiet = True
        try:
            for name, value in {**values, **values.get("canvas_options", {})}.items():
                if name in self.controls:
                    self._load(name, value)
        finally:
            self._quiet = False

    def freeze(self, running: bool, *, wholly: bool = False) -> None:
        """While a run goes on, grey out what cannot change in flight, or all."""
        live = live_fields()
        for name, widget in self.controls.items():
            widget.disabled = wholly or (running and name not in live)
        self.dice.disabled = wholly

    def refresh_models(self) -> None:
        """Say anew what is on this machine."""
        self._quiet = True
        for name in ("canvas", "perceptor"):
            chosen = self.controls[name].value
            self.controls[name].options = models_offered(name)
            _show(self.controls[name], name, chosen)
        self._quiet = False

    def mark_sizes(self, most_pixels: float) -> None:
        """Mark the sizes that fit the GPU, as measured."""
        self._quiet = True
        widget = self.controls["size"]
        chosen = widget.value
        widget.options = [
            (
                text.split(" -")[0] + (" - fits" if _pixels(value) <= most_pixels else " - more than the GPU holds"),
                value,
            )
            for text, value in widget.options
        ]
        widget.value = chosen
        self._quiet = False

    def _load(self, name: str, value: Any) -> None:
        """Show a value. Keyframes stay until a person moves the control, which shows the number they begin with."""
        self._keyframes.pop(name, None)
        if (schedule := as_schedule(value)) and by_name(name).scheduled and name not in TYPED:
            self._keyframes[name] = schedule
            value = schedule.numbers[0]
        _show(self.controls[name], name, value)

    def _hear(self, name: str) -> None:
        if not self._quiet:
            self._keyframes.pop(name, None)
            self._changed(name)


def control(name: str) -> Any:
    """The widget of a field, with its title, its help as tooltip, its range and its default."""
    field = by_name(name)
    span = field.limits
    default = field.default
    told: dict[str, Any] = {"description": field.title, **CAPTION}
    if name == "prompt":
        told = {"layout": {"width": "99%"}, "rows": 3, "placeholder": "What shall it be?"}
        told["description"] = "Prompt"  # for those who hear the page; hidden from those who see it
        widget = widgets.Textarea(value=default, continuous_update=False, **told)
        widget.add_class("vq-prompt")
    elif name in ("canvas", "perceptor"):
        widget = widgets.Dropdown(options=models_offered(name), value=default, **told)
    elif name == "size":
        widget = widgets.Dropdown(options=sizes(), value=f"{default[0]} {default[1]}", **told)
    elif options := field.choices:
        widget = widgets.Dropdown(options=options, value=default, **told)
    elif isinstance(default, bool):
        widget = widgets.Checkbox(value=default, indent=False, **told)
    elif name in SLIDERS:
        low, high, step = SLIDERS[name]
        kind = widgets.FloatSlider if isinstance(step, float) else widgets.IntSlider
        widget = kind(value=default, min=low, max=high, step=step, continuous_update=False, **told)
    elif name in TYPED:
        widget = widgets.Text(value="", placeholder="what suits the canvas", continuous_update=False, **told)
    elif span and isinstance(default, int):
        widget = widgets.BoundedIntText(value=default, min=span.get("ge", 0), max=span["le"], **told)
    elif span:
        widget = widgets.BoundedFloatText(value=default, min=span.get("ge", 0), max=span["le"], step=0.1, **told)
    else:
        widget = widgets.Text(value=str(default or ""), continuous_update=False, **told)
    limit = field.allowed if name not in ("prompt", "size") else ""
    said = field.help + (f" ({limit})" if limit[:4] in ("from", "abov", "one ") else "")
    explain(widget, said)
    widget.add_class(f"vq-{name.replace('_', '-')}")
    return widget


def explain(widget: Any, said: str) -> None:
    """A tooltip, by the name that this ipywidgets has for it."""
    widget.set_trait("tooltip" if widget.has_trait("tooltip") else "description_tooltip", said)


def models_offered(name: str) -> list[tuple[str, str]]:
    """What the canvas or the perceptor may be, each with its size and where it is."""
    if name == "canvas":
        kinds = [spec.model_kind for spec in canvases.specs() if spec.model_kind]
        with_model = [entry for kind in kinds for entry in models.entries(kind) if _there(entry)]
        plain = [(f"{spec.name} - {spec.title}", spec.name) for spec in canvases.specs() if not spec.model_kind]
        return [(_offered(entry), entry.full_name) for entry in with_model] + plain
    alone = [(_offered(entry), entry.name) for entry in models.entries("clip") if _there(entry)]
    return alone + [(_offered(*models.chosen("pixels", pair)), pair) for pair in PAIRS]


def sizes() -> list[tuple[str, str]]:
    """Widths and heights that are offered, small ones first."""
    found = {}
    for side in SIDES:
        for shape, (across, down) in SHAPES.items():
            width, height = (round(side * part / max(across, down) / 16) * 16 for part in (across, down))
            found[f"{width} {height}"] = (f"{width} x {height}, {shape}", f"{width} {height}")
    return sorted(found.values(), key=lambda option: _pixels(option[1]))


def _pixels(size: str) -> int:
    width, height = map(int, size.split(" "))
    return width * height


def _there(entry: models.Entry) -> bool:
    return entry.alive or entry.on_disk


def _offered(*entries: models.Entry) -> str:
    """A model, or several together: where they are, what is to download, and under which licence."""
    names = " and ".join(entry.name for entry in entries)
    lacking = [entry for entry in entries if not entry.on_disk]
    size = sum(entry.size or 0 for entry in lacking)
    where = f"{size / 1e9:.1f} GB to download" if size else "to fetch" if lacking else "on this machine"
    licences = dict.fromkeys(entry.licence for entry in entries if len(entry.licence) < 24)
    return f"{names} - {where}" + "".join(f", licence {licence}" for licence in licences)


def _number(text: str) -> Any:
    """A number, or keyframes, as typed; anything else is left for Settings to name."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return as_schedule(text) or text


def as_schedule(value: Any) -> Schedule | None:
    """Keyframes, or text that is read as such; None for anything else."""
    try:
        return Schedule.parse(value) if isinstance(value, str) else value if isinstance(value, Schedule) else None
    except SettingsError:
        return None


def _show(widget: Any, name: str, value: Any) -> None:
    """A value in a control, which makes room for one that it did not offer."""
    if name == "size":
        value = f"{value[0]} {value[1]}" if not isinstance(value, str) else value
    if name in TYPED:
        value = "" if value is None else f"{value:.15g}" if isinstance(value, int | float) else str(value)
    if isinstance(widget, widgets.Dropdown) and value not in [option[1] for option in widget._options_full]:
        label = value.replace(" ", " x ") if name == "size" else value
        widget.options = [*widget._options_full, (label, value)]
    if isinstance(widget, widgets.IntSlider | widgets.FloatSlider):
        widget.max = max(widget.max, value)
        widget.min = min(widget.min, value)
    widget.value = value
