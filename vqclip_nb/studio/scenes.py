"""The scenes of a film as rows: words, seconds and fade, which become the prompt and the steps of the form."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from vqclip_nb import prompts
from vqclip_nb.animation import Animation, Scene
from vqclip_nb.errors import SettingsError
from vqclip_nb.settings import Settings
from vqclip_nb.studio import markup
from vqclip_nb.studio.form import Form
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.widget_help import explain

AS_TEXT = "The story of this prompt is not one of scenes in a film, so it is edited as text, in the prompt."
_FIELDS = ("prompt", "frame_steps", "first_steps", "fps", "steps")  # what scenes decide, in the order of their checks


class Scenes:
    """Rows of scenes. `box` is the whole of it.

    form: it is read for the rate and the steps of a frame, and filled. changed: called with the name of each field
    that was filled. A story that is loaded into the form is shown as rows.
    """

    def __init__(self, form: Form, changed: Callable[[str], object]) -> None:
        self._form, self._changed = form, changed
        self._applies = False  # while the rows fill the form, and not the form the rows
        form.loaded = self.follow
        self.rows = widgets.VBox([])
        self.note = widgets.HTML()
        self.more = widgets.Button(description="Add a scene", icon="plus", tooltip="A scene after the others")
        self.more.on_click(lambda _: self.add())
        self.eased = widgets.Checkbox(value=True, description="Eased", indent=False, layout={"width": "80px"})
        explain(self.eased, "Scenes fade slowly at first and at last")
        self.use = widgets.Button(description="Use these scenes", button_style="primary")
        self.use.tooltip = "Write them into the prompt, and set the steps that they take; while it paints, from now on"
        actions = widgets.HBox([self.more, self.eased, self.use])
        actions.add_class("vq-row-of")
        heads = (("Scene", "what is painted"), ("Seconds", "how long it lasts"), ("Fade", "seconds of its coming in"))
        top = widgets.HBox([widgets.HTML(markup.label(text, help)) for text, help in heads])
        top.add_class("vq-scene")
        self.box = widgets.VBox([widgets.HTML(markup.heading("Scenes")), top, self.rows, self.note, actions])
        self.box.add_class("vq-scenes")
        keep_heard(self.box)
        self.add()

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The rows that have words. Raises SettingsError where there is none."""
        values = [tuple(control.value for control in row.children[:3]) for row in self.rows.children]
        return tuple(Scene(words, seconds, fade) for words, seconds, fade in values if words.strip())

    def add(self, words: str = "", seconds: float = 4.0, fade: float = 1.0) -> None:
        """Add a row after the others."""
        controls = [
            widgets.Text(value=words, placeholder="a house by the sea", description="Scene", continuous_update=False),
            widgets.BoundedFloatText(value=seconds, min=0.01, max=36_000, step=0.5, description="Seconds"),
            widgets.BoundedFloatText(value=fade, min=0, max=3600, step=0.5, description="Fade"),
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
        self._applies, self.note.value = True, ""
        try:
            form.load({name: settings.value(name) for name in _FIELDS})
        finally:
            self._applies = False
        for name in _FIELDS:
            self._changed(name)

    def follow(self) -> None:
        """Show the story of the settings that were loaded into the form as rows, or say that it is edited as text."""
        if self._applies:
            return
        known = {"size": self._form.value("size"), "prompt_masks": ("mask",) * 99}  # that the prompt may refer to
        try:
            settings = Settings(**known, **{name: self._form.value(name) for name in _FIELDS})
        except SettingsError:
            return
        animation = Animation.of_settings(settings)
        self.rows.children = []
        for scene in animation.scenes if animation else ():
            self.add(scene.words, scene.seconds or 0.0, scene.fade)
        if animation:
            self.eased.value = animation.eased if len(animation.scenes) > 1 else self.eased.value
        else:
            self.add()
        is_story = any(prompt.span for prompt in prompts.parse(settings.prompt))
        self.note.value = markup.small(AS_TEXT) if is_story and not animation else ""

    def _remove(self, row: Any) -> None:
        self.rows.children = [each for each in self.rows.children if each is not row]
        if not self.rows.children:
            self.add()
