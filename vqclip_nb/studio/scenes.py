"""The scenes of a film as rows: words, seconds and fade, which become the prompt and the steps of the form."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from vqclip_nb.animation import Animation, Scene
from vqclip_nb.studio import markup
from vqclip_nb.studio.form import Form
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.widget_help import explain

_FIELDS = ("prompt", "frame_steps", "first_steps", "fps", "steps")  # what scenes decide, in the order of their checks


class Scenes:
    """Rows of scenes. `box` is the whole of it.

    form: it is read for the rate and the steps of a frame, and filled. changed: called with the name of each field
    that was filled.
    """

    def __init__(self, form: Form, changed: Callable[[str], object]) -> None:
        self._form, self._changed = form, changed
        self.rows = widgets.VBox([])
        self.more = widgets.Button(description="Add a scene", icon="plus", tooltip="A scene after the others")
        self.more.on_click(lambda _: self.add())
        self.eased = widgets.Checkbox(value=True, description="Eased", indent=False, layout={"width": "80px"})
        explain(self.eased, "Scenes fade slowly at first and at last")
        self.use = widgets.Button(description="Use these scenes", button_style="info")
        self.use.tooltip = "Write them into the prompt, and set the steps that they take; while it paints, from now on"
        actions = widgets.HBox([self.more, self.eased, self.use])
        actions.add_class("vq-row-of")
        heads = (("Scene", "what is painted"), ("Seconds", "how long it lasts"), ("Fade", "seconds of its coming in"))
        top = widgets.HBox([widgets.HTML(markup.label(text, help)) for text, help in heads])
        top.add_class("vq-scene")
        self.box = widgets.VBox([widgets.HTML(markup.heading("Scenes")), top, self.rows, actions])
        self.box.add_class("vq-scenes")
        keep_heard(self.box)
        self.add()

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The rows that have words. Raises SettingsError where there is none."""
        values = [tuple(control.value for control in row.children[:3]) for row in self.rows.children]
        return tuple(Scene(words, seconds, fade) for words, seconds, fade in values if words.strip())

    def add(self, words: str = "") -> None:
        """A row behind the others."""
        controls = [
            widgets.Text(value=words, placeholder="a house by the sea", description="Scene", continuous_update=False),
            widgets.BoundedFloatText(value=4, min=0.1, max=3600, step=0.5, description="Seconds"),
            widgets.BoundedFloatText(value=1, min=0, max=60, step=0.5, description="Fade"),
        ]
        for control in controls:
            control.add_class("vq-unlabelled")
        remove = widgets.Button(icon="trash", tooltip="Remove this scene")
        row = widgets.HBox([*controls, remove])
        row.add_class("vq-scene")
        remove.on_click(lambda _: self._remove(row))
        self.rows.children = [*self.rows.children, row]
        keep_heard(row)

    def apply(self) -> None:
        """Fill the form, so that Start paints these scenes. Raises SettingsError, in one line."""
        form = self._form
        steps = form.value("frame_steps")
        more = {"steps_per_frame": steps, "first_steps": form.value("first_steps")} if steps else {}
        settings = Animation(self.scenes, eased=self.eased.value, fps=form.value("fps"), **more).settings()
        form.load({name: settings.value(name) for name in _FIELDS})
        for name in _FIELDS:
            self._changed(name)

    def _remove(self, row: Any) -> None:
        self.rows.children = [each for each in self.rows.children if each is not row]
        if not self.rows.children:
            self.add()
