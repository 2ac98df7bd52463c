"""Controls: a widget for a field of Settings, made from the field's title, help, range and choices."""

from typing import Any

import ipywidgets as widgets
import traitlets

from vqclip_nb import canvases, models
from vqclip_nb.errors import SettingsError
from vqclip_nb.schedules import Schedule
from vqclip_nb.schema import FieldSpec
from vqclip_nb.studio.camera_slider import SPANS, CameraSlider
from vqclip_nb.studio.widget_help import explain

SLIDERS = {"steps": (10, 1000, 10), "variations": (1, 16, 1), "cutn": (2, 128, 2), "average": (0.0, 0.99, 0.01)}
SIDES = (128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1536, 2048)
SHAPES = {"square": (1, 1), "wide 4:3": (4, 3), "tall 3:4": (3, 4), "banner 2:1": (2, 1)}
PAIRS = ("ViT-B/32+ViT-B/16",)  # perceptors that work well together


class SizeControl(widgets.HBox):
    """A size as a shape and its longer side. `value` is (width, height) in pixels."""

    value = traitlets.Tuple(default_value=(192, 192))
    disabled = traitlets.Bool(default_value=False)

    def __init__(self, value: tuple[int, int]) -> None:
        self._most: float | None = None
        self._quiet = False
        self.shape = widgets.Dropdown(options=list(SHAPES), description="Shape")
        self.side = widgets.Dropdown(options=[(str(side), side) for side in SIDES], description="Longer side")
        explain(self.side, "The longer side in pixels")
        for menu in (self.shape, self.side):
            menu.add_class("vq-unlabelled")
            menu.observe(lambda _: self._chosen(), "value")
        super().__init__([self.shape, self.side], value=value)
        self.add_class("vq-size")
        self._draw()

    def mark(self, most_pixels: float) -> None:
        """Mark the sides that fit the GPU. most_pixels: the largest picture, as measured."""
        self._most = most_pixels
        self._draw()

    @traitlets.observe("value")
    def _valued(self, _: Any) -> None:
        if hasattr(self, "shape") and not self._quiet:
            self._draw()

    @traitlets.observe("disabled")
    def _greyed(self, _: Any) -> None:
        self.shape.disabled = self.side.disabled = self.disabled

    def _draw(self) -> None:
        self._quiet = True
        width, height = self.value
        shape = next((name for name in SHAPES if _sides(name, max(width, height)) == (width, height)), None)
        own = [] if shape else [f"{width} x {height}"]
        sides = sorted({*SIDES, max(width, height)})
        # Options and value go to the page in one message, because a later value would undo a quick choice.
        with self.shape.hold_sync(), self.side.hold_sync():
            self.shape.options = [*own, *SHAPES]
            self.shape.value = shape or own[0]
            self.side.options = [(self._label(shape, side), side) for side in sides]
            self.side.value = max(width, height)
        self._quiet = False

    def _label(self, shape: str | None, side: int) -> str:
        if shape is None:
            return str(side)
        width, height = _sides(shape, side)
        fits = "" if self._most is None else " - fits" if width * height <= self._most else " - more than the GPU holds"
        return f"{width} x {height}{fits}"

    def _chosen(self) -> None:
        if not self._quiet:
            shape = self.shape.value
            if shape not in SHAPES:  # a size of another shape is kept
                width, height = self.value
                scale = self.side.value / max(width, height)
                self.value = tuple(max(16, round(side * scale / 16) * 16) for side in (width, height))
            else:
                self.value = _sides(shape, self.side.value)
            self._draw()


def _sides(shape: str, side: int) -> tuple[int, int]:
    across, down = SHAPES[shape]
    width, height = (round(side * part / max(across, down) / 16) * 16 for part in (across, down))
    return width, height


def control(field: FieldSpec) -> Any:
    """The widget of a field, with its help as the tooltip, and its range and default."""
    name, default, span, about = field.name, field.default, field.limits, {"description": field.title}
    if field.kind == "pair":
        widget = SizeControl(default)
        explain(widget.shape, help_text(field))
        return widget
    if name in SPANS:
        return CameraSlider(field, help_text(field))
    if name in ("canvas", "perceptor"):
        widget = widgets.Dropdown(options=models_offered(name), value=default, **about)
    elif field.choices:
        widget = widgets.Dropdown(options=field.choices, value=default, **about)
    elif isinstance(default, bool):
        widget = widgets.Checkbox(value=default, indent=False, **about)
    elif name in SLIDERS:
        low, high, step = SLIDERS[name]
        kind = widgets.FloatSlider if isinstance(step, float) else widgets.IntSlider
        widget = kind(value=default, min=low, max=high, step=step, continuous_update=False, **about)
    elif is_text_box(field):
        text = "" if default is None else f"{default:g}"
        widget = widgets.Text(value=text, placeholder="automatic", continuous_update=False, **about)
    elif span and isinstance(default, int):
        low, high = span.get("ge", 0), span.get("le", 2**31)
        widget = widgets.BoundedIntText(value=default, min=low, max=high, **about)
    elif span:
        low, high = span.get("ge", 0), span.get("le", 1e9)
        widget = widgets.BoundedFloatText(value=default, min=low, max=high, step=0.1, **about)
    else:
        blank = "automatic" if "default: " in field.help else "none"
        text = str("" if default is None else default)
        widget = widgets.Text(value=text, placeholder=blank, continuous_update=False, **about)
    explain(widget, help_text(field))
    widget.add_class(f"vq-{name.replace('_', '-')}")
    widget.add_class("vq-unlabelled")
    return widget


def is_text_box(field: FieldSpec) -> bool:
    """Whether a field is a text box: an optional number, or a number of a film, which is often a formula."""
    return bool(field.limits) and (field.default is None or (field.scheduled and field.group == "Film"))


def help_text(field: FieldSpec) -> str:
    """The help of a field, with its range."""
    limit = field.allowed if field.kind != "pair" else ""
    return field.help + (f" ({limit})" if limit[:4] in ("from", "abov", "one ") else "")


def read(widget: Any, field: FieldSpec) -> Any:
    """The value of a control, for Settings."""
    return _number(widget.value) if is_text_box(field) else widget.value


def show(widget: Any, field: FieldSpec, value: Any) -> None:
    """Set a control's value. A menu or a slider is extended for a value that it does not offer."""
    if field.kind == "pair":
        value = (value, value) if isinstance(value, int) else tuple(value)
    if is_text_box(field):
        value = "" if value is None else f"{value:.15g}" if isinstance(value, int | float) else str(value)
    if isinstance(widget, widgets.Dropdown) and value not in [option[1] for option in widget._options_full]:
        widget.options = [*widget._options_full, (value, value)]
    if isinstance(widget, widgets.IntSlider | widgets.FloatSlider):
        widget.max = max(widget.max, value)
        widget.min = min(widget.min, value)
    widget.value = "" if value is None and isinstance(widget, widgets.Text) else value


def models_offered(name: str) -> list[tuple[str, str]]:
    """The choices for the canvas or the perceptor, as (label, value); a label says whether the model is on disk."""
    if name == "canvas":
        kinds = [spec.model_kind for spec in canvases.specs() if spec.model_kind]
        with_model = [entry for kind in kinds for entry in models.entries(kind) if _is_available(entry)]
        plain = [(f"{spec.name} - {spec.title}", spec.name) for spec in canvases.specs() if not spec.model_kind]
        return [(_model_label(entry, name=entry.full_name), entry.full_name) for entry in with_model] + plain
    alone = [(_model_label(entry), entry.name) for entry in models.entries("clip") if _is_available(entry)]
    return alone + [(_model_label(*models.chosen([], pair)), pair) for pair in PAIRS]


def _is_available(entry: models.Entry) -> bool:
    return entry.alive or entry.on_disk


def _model_label(*entries: models.Entry, name: str = "") -> str:
    """The label of a model, or of several together: whether on disk or its download size, and the licence."""
    names = name or " and ".join(entry.name for entry in entries)
    missing = [entry for entry in entries if not entry.on_disk]
    size = sum(entry.size or 0 for entry in missing)
    where = f"{size / 1e9:.1f} GB to download" if size else "to download" if missing else "installed"
    licences = dict.fromkeys(entry.licence for entry in entries if len(entry.licence) < 24)
    return f"{names} - {where}" + "".join(f", licence {licence}" for licence in licences)


def as_schedule(value: Any) -> Schedule | None:
    """A value as a schedule, if it is one or is the text of one; else None."""
    try:
        return Schedule.parse(value) if isinstance(value, str) else value if isinstance(value, Schedule) else None
    except SettingsError:
        return None


def _number(text: str) -> Any:
    """A number as typed; any other text is returned unchanged, for Settings to parse or to reject."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return as_schedule(text) or text
