"""The layout: the widgets of the panel and their order. The controller handles clicks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from vqclip_nb.studio import frontend, markup
from vqclip_nb.studio.downloads import Downloads
from vqclip_nb.studio.form import Form
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.history import History
from vqclip_nb.studio.image_inputs import ImageInputs
from vqclip_nb.studio.messages import Messages
from vqclip_nb.studio.scenes import Scenes
from vqclip_nb.studio.several_view import SeveralView
from vqclip_nb.studio.status import JobStatus
from vqclip_nb.studio.uploads import upload_button
from vqclip_nb.studio.versus import Versus
from vqclip_nb.studio.view import View
from vqclip_nb.studio.where import Where
from vqclip_nb.studio.widget_help import explain

if TYPE_CHECKING:
    from vqclip_nb.studio.controller import Controller


PICTURES = ("init_image", "image_prompts", "mask", "prompt_masks")  # settings without a control in the form


class Layout:
    """The widgets of a panel. `children` are the widgets of the outermost box, from top to bottom."""

    def __init__(self, controller: "Controller") -> None:
        safe = controller.safe
        self.start = _button("Start", "Start a new run with these settings (Ctrl+Enter)", "play", "success")
        self.pause = _button("Pause", "Hold after this step; press again to continue", "pause")
        self.stop = _button("Stop", "End after this step, and keep everything", "stop", "danger")
        self.undo = _button("Undo", "Back to before the last change, or to the last saved state", "undo")
        self.large = _button("Get the large models", "They know every word, and want a GPU")
        self.large.add_class("vq-quiet")
        self.messages = Messages(safe(lambda: controller.remedy()), controller.fail)
        self.form = Form(safe(lambda name: controller.changed(name)), {"perceptor": self.large})
        self.images = ImageInputs(safe(lambda name: controller.changed(name)), controller.fail, self.form.take_colours)
        self.view = View(self._selected, safe(lambda step: controller.go_on_from(step)))
        self.scenes = Scenes(self.form, safe(lambda name: controller.changed(name)))
        self.where = Where(
            safe(lambda name: controller.changed(name)),
            controller.fail,
            start=lambda: self.images.init_image,
            shown=lambda: self.view.shown,
            size=lambda: self.form.value("size"),
            fields=self.form.where,
        )
        self.several = SeveralView(safe(lambda index: controller.several.open_cell(index)))
        self.versus = Versus()
        self.downloads = Downloads(self.messages.say, controller.fail)
        self.history = History(
            safe(lambda run: controller.library.show_run(run)),
            safe(lambda run: controller.continue_run(run)),
            safe(lambda run: controller.library.deleted(run)),
            self.versus.show,
            controller.fail,
        )
        self.more = _button("More steps", "Go on with this run", "forward")
        self.use = _button("Use its settings", "Put the settings of the picture that is shown into the form", "sliders")
        self.alone = _button("Go on with it alone", "Paint on with the picture that is shown, without the others")
        self.presets = widgets.Dropdown(options=[("Preset …", "")], description="Preset")
        self.presets.add_class("vq-unlabelled")
        explain(self.presets, "Settings that go well together")
        self.preset_name = widgets.Text(description="Name", placeholder="Save these settings as a preset")
        self.preset_name.add_class("vq-unlabelled")
        explain(self.preset_name, "The name of a preset of your own")
        self.save = _button("Save", "Save the settings, without the prompt and the seed, as a preset")
        self.load = upload_button("Load settings from a picture")
        self.load.add_class("vq-load")
        self.disconnect = widgets.Checkbox(value=False, description="Disconnect from Colab when done", indent=False)
        self.beat = widgets.HTML(markup.beat(0))
        below = [self.several.results, self.history.box, self.versus.box]
        self.children = [self.beat, self._parts(), *below, widgets.HTML(markup.style())]

    def wire(self, controller: "Controller") -> None:
        """Connect each button to its action."""
        library, several = controller.library, controller.several
        for button, act in (
            (self.start, controller.start),
            (self.pause, controller.pause),
            (self.stop, controller.stop),
            (self.undo, controller.undo),
            (self.more, controller.more),
            (self.alone, controller.pick),
            (self.use, library.take_settings),
            (self.history.use, library.take_settings),
            (self.scenes.use, self.scenes.apply),
            (self.where.take, self._start_from_shown),
            (self.save, library.save_preset),
            (self.large, library.get_large_models),
            (self.several.paint_list, several.paint_list),
            (self.several.paint_grid, several.paint_grid),
            (self.several.write_more, several.write_more),
            (self.several.use, several.use_settings),
            (self.several.go_on, several.go_on),
        ):
            callback = controller.safe(act)
            button.on_click(lambda _, callback=callback: callback())
        self.presets.observe(controller.safe(library.apply_preset), "value")
        self.load.observe(controller.safe(library.load_picture), "value")
        can_disconnect = (
            frontend.in_colab() and controller.mirror
        )  # without a copy, the picture would be lost with the machine
        top = self.history.top
        top.children = [*top.children, self.load, *([self.disconnect] if can_disconnect else [])]
        self.list_presets()
        keep_heard(*self.children)

    def picture(self, name: str) -> Any:
        """The value of one of PICTURES, for Settings. Raises SettingsError."""
        return getattr(self.where if "mask" in name else self.images, name)

    def show_pictures(self, settings: Any, inputs: Path | None) -> None:
        """Show the pictures and masks of this package's own settings. Raises PictureError."""
        self.images.follow(settings, inputs)
        self.where.follow(settings, inputs)

    def load_pictures(self, settings: Any, inputs: Path | None) -> None:
        """Show the pictures and masks of untrusted settings: no path in them is opened. Raises PictureError."""
        try:
            self.images.load(settings, inputs)
        finally:
            self.where.load(settings, inputs)

    def _start_from_shown(self) -> None:
        if picture := self.view.shown:
            self.images.take(picture, "init_image")

    def list_presets(self) -> None:
        """Read the presets again."""
        from vqclip_nb.studio.presets import all_presets

        self.presets.options = [("Preset …", ""), *((name, name) for name in all_presets())]

    def acknowledge(self, count: int) -> None:
        """Tell the page that the kernel has received a click."""
        self.beat.value = markup.beat(count)

    def show_state(
        self, status: JobStatus | None, *, closed: bool, other: bool, in_series: bool, undoable: bool
    ) -> None:
        """Enable the buttons that can be pressed in this state.

        other: the view does not show the last job. in_series: more jobs will follow it.
        """
        state = status.state if status else "none"
        running = state in ("loading", "painting", "paused")
        busy = running or state == "finishing" or in_series
        for button, enabled in (
            (self.start, not busy),
            (self.pause, running),
            (self.stop, running or in_series),
            (self.several.paint_list, not busy),
            (self.several.paint_grid, not busy),
            (self.several.go_on, not busy),
            (self.undo, undoable),
            *((button, True) for button in (self.more, self.alone, self.messages.remedy, self.messages.accept)),
        ):
            button.disabled = closed or not enabled
        self.stop.button_style = "danger" if running and not closed else ""
        self.start.button_style = "" if busy or closed else "success"
        self.pause.description, self.pause.icon = ("Continue", "play") if state == "paused" else ("Pause", "pause")
        self.form.freeze(running, wholly=state == "finishing")
        known = status is not None and status.folder is not None and status.settings is not None and not other
        _show(self.more, bool(known and status and status.ended and status.step))
        more = f"Paint {status.more_steps} more steps" if status and status.complete else "Continue this run"
        self.more.description = more
        self._selected()

    def _selected(self) -> None:
        """Update the panel after another of several pictures was selected."""
        several = self.view.count > 1
        _show(self.alone, several)
        _show(self.use, several and not self.start.disabled)
        self.downloads.select(self.view.selected)

    def _parts(self) -> widgets.Widget:
        actions = _box(widgets.HBox, [self.start, self.pause, self.stop, self.undo], "vq-actions")
        words = self.form.prompt
        helpers = _box(
            widgets.HBox, [words.surprise, words.examples, words.book, words.used, self.presets], "vq-helpers"
        )
        top = widgets.VBox([words.box, actions, _box(widgets.HBox, [words.chips, helpers], "vq-ideas")])
        pictures = widgets.HTML(markup.heading("Pictures"))
        basic = widgets.VBox([self.form.basic, pictures, self.images.box])
        own = _box(widgets.HBox, [self.preset_name, self.save], "vq-row-of")
        advanced = widgets.VBox([self.form.advanced, widgets.HTML(markup.heading("Your own presets")), own])
        film = widgets.VBox([self.view.strip.box, self.scenes.box, self.form.film])
        parts = {"Basic": basic, "Where": self.where.box, "Advanced": advanced, "Film": film}
        parts["Several"] = self.several.box
        tabs = widgets.Tab([*parts.values()])
        for index, title in enumerate(parts):
            tabs.set_title(index, title)
            tabs.children[index].add_class("vq-tab")
        tabs.add_class("vq-tabs")
        tabs.observe(lambda _: self.where.draw(), "selected_index")  # the picture may have changed meanwhile
        run_actions = _box(widgets.HBox, [self.use, self.alone, self.more], "vq-row-of")
        seen = _box(widgets.VBox, [self.view.box, run_actions, self.view.looking, self.downloads.box], "vq-seen")
        top.add_class("vq-top")
        left = _box(widgets.VBox, [tabs, self.view.chart], "vq-left")
        strip = self.messages.box
        return widgets.VBox([strip, _box(widgets.VBox, [top, left, seen], "vq-parts")])


def _button(text: str, tooltip: str, icon: str = "", style: str = "") -> widgets.Button:
    button = widgets.Button(description=text, tooltip=tooltip, icon=icon, button_style=style)
    button.add_class("vq-" + text.lower().replace(" ", "-"))
    return button


def _box(kind: type, children: list[widgets.Widget], name: str) -> widgets.Widget:
    box = kind(children)
    box.add_class(name)
    return box


def _show(widget: widgets.Widget, shown: bool) -> None:
    widget.layout.display = "" if shown else "none"
