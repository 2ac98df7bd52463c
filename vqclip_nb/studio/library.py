"""The library: earlier runs, settings from a picture, presets, models, and the saved form of the last session."""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb import embedded, models
from vqclip_nb.errors import PictureError, RunError, SettingsError
from vqclip_nb.fields import by_name, live_fields
from vqclip_nb.paths import expand_home
from vqclip_nb.runs import metadata
from vqclip_nb.runs.background_writer import check_unlocked
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.settings import Settings
from vqclip_nb.studio import opening, used_prompts
from vqclip_nb.studio.history import interrupted_run
from vqclip_nb.studio.presets import LARGE, all_presets, save_preset
from vqclip_nb.studio.registry import REGISTRY
from vqclip_nb.studio.uploads import take_upload

if TYPE_CHECKING:
    from vqclip_nb.studio.controller import Controller

RUN_OPTIONS = ("out", "device", "every", "save_every", "metadata", "quiet")  # not taken from a run or a picture
FORM_FILE = ".studio.json"  # in the folder of the runs: the form at the last start


class Library:
    """Fills the form and the view of a panel from runs, pictures, presets and the last session.

    run: the earlier run that is shown, or None. shows_other: whether the view shows something else than the last job.
    """

    def __init__(self, controller: "Controller") -> None:
        self._controller, self._ui = controller, controller.ui
        self._run: RunInfo | None = None
        self._file_shown = False

    @property
    def run(self) -> RunInfo | None:
        """The earlier run that is shown."""
        return self._run

    @run.setter
    def run(self, run: RunInfo | None) -> None:
        self._run, self._file_shown = run, False

    @property
    def shows_other(self) -> bool:
        """Whether the view shows an earlier run, or a picture from a file."""
        return self._run is not None or self._file_shown

    # --- earlier runs and pictures

    def show_run(self, run: RunInfo) -> None:
        """Show an earlier run: its pictures, frames and files. The form stays as it is."""
        self._check_idle("look at another run")
        self.run = run
        self._ui.view.show_run(run)
        self._ui.downloads.show(run)
        self._ui.history.choose(run)
        self._controller.refresh_buttons()

    def take_settings(self, run: RunInfo | None = None) -> None:
        """Put the settings of a run into the form, and show the run. None takes those of the picture that is shown."""
        job = REGISTRY.job
        shown = self._run or (RunInfo.read(job.status.folder) if job and job.status.folder else None)
        self._check_idle("take these settings")
        if run is not None:
            self.show_run(run)
            self._fill(run.current, run.inputs)
            return
        if shown is None:
            return
        settings, selected = shown.current, self._ui.view.selected
        if self._ui.view.count > 1 and selected < settings.variations:
            settings = settings.replace(seed=settings.seeds[selected], variations=1)
        self._fill(settings, shown.inputs)

    def load_picture(self) -> None:
        """Put the settings inside an uploaded picture into the form, and show the picture. They are untrusted."""
        if not (data := take_upload(self._ui.load)):
            return
        self._check_idle("take these settings")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture"
            path.write_bytes(data)
            try:
                about = embedded.read(path)
                settings = metadata.final_settings(about)
                shown = _shown(path)
            except PictureError as error:
                raise PictureError(str(error).replace(repr(str(path)), "that file")) from None
        self.run = None
        self._file_shown = True
        self._ui.view.show_file(shown, settings.prompt)
        self._ui.downloads.forget()
        self._ui.history.choose(None)
        self._controller.refresh_buttons()
        self._fill(settings, None)
        changed = " They were changed during the run; these are the settings at its end." if about["timeline"] else ""
        self._ui.messages.note("The settings of that picture are in the form." + changed)

    def read_history(self) -> list[RunInfo]:
        """Read the history again, and return its runs."""
        mirror = self._controller.mirror
        runs = self._ui.history.read(self._controller.out, *([mirror.place] if mirror else []))
        remembered = used_prompts.read_prompts(self._controller.out)
        self._ui.form.prompt.used.options = [*dict.fromkeys([*remembered, *(run.current.prompt for run in runs)])]
        return runs

    def deleted(self, run: RunInfo) -> None:
        """Remove a deleted run from the view."""
        if self._run and self._run.folder == run.folder:
            self.run = None
        if REGISTRY.job and not REGISTRY.running and REGISTRY.job.status.folder == run.folder.absolute():
            REGISTRY.job = None
        self._ui.view.show_nothing()
        self._ui.downloads.forget()
        self.read_history()
        self._controller.refresh_buttons()

    def look_around(self) -> None:
        """After the panel is shown, read the history, and offer an interrupted run or the large models."""
        try:
            runs = self.read_history()
            if not REGISTRY.running and (run := interrupted_run(runs)):
                self._offer_to_continue(run)
            elif not REGISTRY.job and self._ui.form.value("perceptor") == "demo" and shutil.which("nvidia-smi"):
                text = "There is a GPU. Get the large models (1.3 GB, about a minute): they know every word."
                self._ui.messages.offer(text, "Get the large models", self.get_large_models)
        except Exception as error:
            self._controller.fail(error)

    def _offer_to_continue(self, run: RunInfo) -> None:
        name = f"The run “{run.current.prompt[:80]}”"
        try:
            check_unlocked(run.folder)
        except RunError:
            self._ui.messages.note(
                f"{name} is being painted in another notebook or terminal, so it is not offered here."
            )
            return
        text = f"{name} was cut off after step {run.saved_steps[-1]} of {run.current.steps}."
        self._ui.messages.offer(text, "Continue it", lambda: self._controller.continue_run(run))

    def _check_idle(self, purpose: str) -> None:
        if REGISTRY.running:
            raise RunError(f"A run is going on; press Stop first, then {purpose}.")

    def _fill(self, settings: Settings, inputs: Path | None) -> None:
        self._ui.form.load({name: value for name, value in settings.model_dump().items() if name not in RUN_OPTIONS})
        self._ui.load_pictures(settings, inputs)

    # --- presets and models

    def apply_preset(self) -> None:
        """Put a preset into the form; during a run, only its live settings."""
        name = self._ui.presets.value
        if not name or (values := all_presets().get(name)) is None:
            return
        self._ui.presets.value = ""
        fields = {field: by_name(field) for preset in all_presets().values() for field in preset}
        usual = {field.name: field.default for field in fields.values() if field.group in ("Painting", "Cutouts")}
        values = {n: v for n, v in (usual | values).items() if not REGISTRY.running or n in live_fields()}
        self._ui.form.load(values)
        for field in values:
            self._controller.changed(field)
        self._ui.messages.say(f"Preset “{name}” is in the form.")

    def save_preset(self) -> None:
        """Save the form as a preset of the typed name, without the prompt, the seed and the pictures."""
        name = self._ui.preset_name.value.strip()
        settings = self._controller.settings()
        path = save_preset(name, settings)
        self._ui.preset_name.value = ""
        self._ui.list_presets()
        self._ui.messages.say(f"Saved as “{name}” in {path.parent}.")

    def offer_large_models(self) -> None:
        """Show a line below the perceptor that downloads the large models, or selects them if they are on disk."""
        missing = [entry for entry in models.chosen([LARGE["canvas"]], LARGE["perceptor"]) if not entry.on_disk]
        size = f" ({sum(entry.size or 0 for entry in missing) / 1e9:.1f} GB)"
        self._ui.large.description = f"Get the large models{size}" if missing else "Choose the large models"
        is_chosen = all(self._ui.form.value(name) == LARGE[name] for name in ("canvas", "perceptor"))
        self._ui.large.layout.display = "none" if is_chosen else ""

    def get_large_models(self) -> None:
        """Download the large models in a thread, and then select them."""
        self._ui.large.disabled = True

        def work() -> None:
            try:
                opening.fetch_models(Settings(**LARGE), self._ui.messages.say)
                self._ui.form.refresh_models()
                if REGISTRY.running:
                    self._ui.messages.say("The large models are here; choose them when this run has ended.")
                    return
                self._ui.form.load(LARGE)
                self._ui.messages.say("The large models are here, and chosen.")
            except Exception as error:
                self._ui.messages.say("")
                self._controller.fail(error)
            finally:
                self.offer_large_models()
                self._ui.large.disabled = False

        threading.Thread(target=work, name="vqclip-fetch", daemon=True).start()

    # --- the form of last time

    def remember(self, prompts: Iterable[str] = ()) -> None:
        """Save the form, for the panel of the next kernel, and the painted prompts.

        prompts: the painted prompts, if they are not that of the form. A full disk is ignored.
        """
        try:
            folder = self._controller.out
            folder.mkdir(parents=True, exist_ok=True)
            values = {name: value for name, value in self._ui.form.values().items() if name != "out"}
            (folder / FORM_FILE).write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
            used_prompts.remember(folder, list(prompts) or [values["prompt"]])
        except OSError:
            pass

    def remembered(self, out: str | Path | None) -> dict[str, Any]:
        """The saved form of the last session, or an empty mapping if it cannot be read."""
        folder = Path.cwd() / expand_home(out or by_name("out").default)
        try:
            values = json.loads((folder / FORM_FILE).read_bytes())
            named = {
                "init_image": "start",
                "prompt_masks": ("mask",) * 9,
            }  # the other fields depend on these
            values_known = {name: value for name, value in values.items() if name in Settings.model_fields}
            settings = Settings(**named | values_known)
        except (OSError, ValueError, AttributeError, TypeError, RecursionError, SettingsError):
            return {}
        return {name: value for name, value in settings.model_dump().items() if name in values}


def _shown(path: Path) -> bytes:
    """A picture as a preview for the view. Raises PictureError."""
    from vqclip_nb.studio.image_inputs import thumbnail

    return thumbnail(path, 1024)
