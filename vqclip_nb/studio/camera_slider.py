"""A number of the film's camera as a slider beside its text, which may also be keyframes or a formula."""

import re
from typing import Any

import ipywidgets as widgets
import traitlets

from vqclip_nb.errors import SettingsError
from vqclip_nb.schedules import Schedule
from vqclip_nb.schema import FieldSpec
from vqclip_nb.studio.widget_help import explain

SPANS = {  # of each slider: lowest, highest, step; what is typed may go further, and widens it
    "zoom": (0.9, 1.1, 0.002),
    "shift_x": (-20.0, 20.0, 0.5),
    "shift_y": (-20.0, 20.0, 0.5),
    "rotate": (-10.0, 10.0, 0.1),
    "turn_x": (-5.0, 5.0, 0.1),
    "turn_y": (-5.0, 5.0, 0.1),
}


class CameraSlider(widgets.HBox):
    """`value` is the text. The slider writes a number into it; it is disabled while the text is a schedule.

    The slider then stands at the schedule's first number. continuous: whether `value` follows while the slider is
    dragged, or changes when it is released.
    """

    value = traitlets.Unicode("")
    disabled = traitlets.Bool(default_value=False)
    continuous = traitlets.Bool(default_value=True)

    def __init__(self, field: FieldSpec, help: str) -> None:
        self._quiet = False
        low, high, step = SPANS[field.name]
        self.slider = widgets.FloatSlider(
            value=field.default, min=low, max=high, step=step, readout=False, description=field.title
        )
        self.text = widgets.Text(value=f"{field.default:g}", continuous_update=False, description=field.title)
        for part in (self.slider, self.text):
            part.add_class("vq-unlabelled")
            explain(part, help)
        super().__init__([self.slider, self.text], value=self.text.value)
        self.add_class("vq-camera")
        self.add_class(f"vq-camera-{field.name.replace('_', '-')}")
        self.slider.observe(lambda _: self._moved(), "value")
        self.text.observe(lambda _: self._typed(), "value")

    def _moved(self) -> None:
        if not self._quiet:
            self.value = f"{self.slider.value:.6g}"

    def _typed(self) -> None:
        self.value = self.text.value

    @traitlets.observe("value")
    def _valued(self, _: Any) -> None:
        if not hasattr(self, "text"):
            return
        self.text.value = self.value
        number, self._quiet = _first(self.value), True
        if number is not None and number != self.slider.value:
            self.slider.max, self.slider.min = max(self.slider.max, number), min(self.slider.min, number)
            self.slider.value = number
        self._quiet = False
        self._greyed()

    @traitlets.observe("disabled")
    def _disabled(self, _: Any) -> None:
        self._greyed()

    @traitlets.observe("continuous")
    def _paced(self, _: Any) -> None:
        self.slider.continuous_update = self.continuous

    def _greyed(self) -> None:
        self.text.disabled = self.disabled
        self.slider.disabled = self.disabled or _schedule(self.value) is not None


def _schedule(text: str) -> Schedule | None:
    """The schedule that this text is; None for a plain number, and for what cannot be read."""
    if not (Schedule.looks_so(text)):
        return None
    try:
        return Schedule.parse(text)
    except SettingsError:
        return None


def _first(text: str) -> float | None:
    """The number of this text, of a schedule the first one; None where there is none."""
    if schedule := _schedule(text):
        return schedule.numbers[0]
    return float(text) if re.fullmatch(r"\s*[-+]?(\d{1,6}\.?\d*|\.\d+)\s*", text) else None
