"""The controller: starts, changes, ends and continues runs when a person clicks, and keeps the panel up to date."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vqclip_nb.errors import RunError, SettingsError
from vqclip_nb.fields import live_fields
from vqclip_nb.film_fields import FilmFields
from vqclip_nb.paths import expand_home
from vqclip_nb.runs import metadata
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.settings import Settings
from vqclip_nb.studio import backup, frontend, job, opening
from vqclip_nb.studio.layout import PICTURES, Layout
from vqclip_nb.studio.library import Library
from vqclip_nb.studio.problems import explain, in_titles
from vqclip_nb.studio.registry import REGISTRY
from vqclip_nb.studio.several import Several
from vqclip_nb.studio.status import JobStatus, Problem

DEPENDENT = {  # fields that may be invalid until this one is set
    "frame_steps": FilmFields.model_fields, "prompt_masks": ("prompt",), "size": ("prompt",), "init_image": ("extend",)
}  # fmt: skip
TAKEN_OVER = "A newer panel has taken over: use that one, or run this cell again."


class Controller:
    """The actions of one panel. The newest panel drives the job; older ones show that it has taken over.

    ui: the widgets. out: the folder of the runs, relative to the working directory at the start. mirror: the folder for
    copies of the runs, or None.
    """

    def __init__(self, *, out: str | Path | None, mirror: str | Path | None, settings: Settings | None) -> None:
        self._lock = threading.RLock()
        self._seen: JobStatus | None = None
        loaded = REGISTRY.job is not None and REGISTRY.running is None and settings is not None
        self._revision = REGISTRY.job.status.revision if loaded and REGISTRY.job else 0  # of the settings in the form
        self._ticked_at = 0.0
        self._here = Path.cwd()
        self.closed = False
        self._filling = False  # True while code fills the form, so that no change is reported
        self._ticker: threading.Thread | None = None
        self._beats = 0
        self.ui = Layout(self)
        self.mirror = backup.Mirror(mirror, self.ui.messages.note) if mirror else None
        self.library = Library(self)
        self.several = Several(self)
        self.ui.form.load(self.library.remembered(out) if settings is None else settings.model_dump())
        if out:
            self.ui.form.load({"out": str(out)})
        self.ui.wire(self)
        if settings:
            self.guarded(lambda: self.ui.show_pictures(settings, None))
        if REGISTRY.controller:
            REGISTRY.controller.give_way()
        REGISTRY.controller = self
        self.library.offer_large_models()
        self.refresh_buttons()
        self.several.draw()
        if REGISTRY.job:
            self.watch()
        self.looking = threading.Thread(target=self.library.look_around, name="vqclip-look", daemon=True)
        self.looking.start()

    @property
    def out(self) -> Path:
        """The folder of the runs. It does not depend on the working directory, which a later cell may change."""
        return self._here / expand_home(self.ui.form.value("out"))

    # --- runs

    def settings(self) -> Settings:
        """The settings in the form. Raises SettingsError, and marks the invalid field."""
        try:
            return Settings(**self.ui.form.values() | {name: self.ui.picture(name) for name in PICTURES})
        except SettingsError as error:
            if name := self._field(str(error)):
                self._mark(name, str(error))
            raise

    def start(self) -> None:
        """Start a new run with the settings in the form."""
        settings = self.settings().replace(out=str(self.out))
        self.library.remember()
        self.run(opening.new_run(settings))

    def run(self, open: opening.Opener, *, paused: bool = False, in_series: bool = False) -> None:
        """Start a job, unless another job is running, or a series that the job is not part of.

        in_series: whether it is part of the series. Raises RunError if a newer panel has taken over.
        """
        with self._lock:
            self._check_in_charge()
            if REGISTRY.running or (REGISTRY.in_series and not in_series):
                return
            before = REGISTRY.job.status if REGISTRY.job else None
            self._seen = None
            self.library.run = None
            self.ui.messages.clear(for_good=True)
            self.ui.view.begin()
            self.ui.downloads.forget()
            self.ui.history.choose(None)
            REGISTRY.job = job.Job(open, paused=paused, saved=_copy_saved_run, before=before).start()
            self.watch()

    def pause(self) -> None:
        """Pause, or continue."""
        if REGISTRY.job and REGISTRY.job.status.state == "paused":
            REGISTRY.job.resume()
        elif REGISTRY.job:
            REGISTRY.job.pause()

    def stop(self) -> None:
        """End the run after this step, and its series."""
        if REGISTRY.series:
            REGISTRY.series.stop()
        if REGISTRY.job:
            REGISTRY.job.stop()

    def undo(self) -> None:
        """Go back to before the last change, or to the last state; a run that has ended is resumed and paused."""
        if REGISTRY.running:
            REGISTRY.running.undo()
        elif folder := self._job_folder():
            if len(steps := RunInfo.read(folder).saved_steps) < 2:
                self.ui.messages.note("There is nothing to undo: no earlier state of this run is kept.")
            else:
                self.run(opening.resume(folder, step=steps[-2]), paused=True)

    def more(self) -> None:
        """Continue the run that is shown, with the settings in the form."""
        if not REGISTRY.running and REGISTRY.job and (status := REGISTRY.job.status).folder and status.settings:
            changes = self._differences(status.settings)
            if status.complete:
                changes["steps"] = status.step + status.more_steps
            elif changes.get("steps", status.steps) <= status.step:
                del changes["steps"]
            self.run(opening.resume(status.folder, changes=changes))

    def pick(self) -> None:
        """Continue with the selected one of several pictures alone."""
        number, running = self.ui.view.selected + 1, REGISTRY.running
        if running and running.status.state != "finishing" and not self.library.run:
            running.change({}, pick=number)
        elif folder := self._shown_folder():
            self._once_ended(partial(self._branch, folder, self._live(), None, number))

    def go_on_from(self, step: int) -> None:
        """Start a branch from a frame of the run that is shown."""
        if folder := self._shown_folder():
            changes = self._live()
            if REGISTRY.running:
                REGISTRY.running.stop()
            self._once_ended(partial(self._branch, folder, changes, step, None))

    def continue_run(self, run: RunInfo) -> None:
        """Continue an earlier run with its own settings. It may exist only in the second folder."""
        self.library.take_settings(run)
        folder = self.out / run.folder.name
        self.run(opening.resume(folder, copied_from=None if folder.exists() else run.folder))

    def remedy(self) -> None:
        """Start with the settings that may help."""
        if (problem := self.ui.messages.problem) and problem.remedy:
            self.ui.form.load(problem.remedy)
            self.start()

    def _branch(self, folder: Path, changes: Mapping[str, Any], step: int | None, pick: int | None) -> None:
        self.run(opening.branch(folder, changes, step=step, pick=pick, out=self.out))

    def _once_ended(self, work: Callable[[], object]) -> None:
        """Call a function once no job is running. It waits in a thread, because a click must not wait."""
        if not (running := REGISTRY.running):
            work()
            return

        def later() -> None:
            running.wait()
            self.guarded(work)

        threading.Thread(target=later, name="vqclip-later", daemon=True).start()

    def _job_folder(self) -> Path | None:
        """The folder of the last job's run, or None if something else is shown."""
        return REGISTRY.job.status.folder if REGISTRY.job and not self.library.shows_other else None

    def _shown_folder(self) -> Path | None:
        return self.library.run.folder if self.library.run else self._job_folder()

    # --- changes of the form

    def changed(self, name: str) -> None:
        """Check a control that has changed, and change the running run with it."""
        if name == "out":
            self.library.read_history()
        if name in ("canvas", "perceptor"):
            self.library.offer_large_models()
        if name in ("init_image", "size"):
            self.ui.where.draw()
        running = REGISTRY.running if name in live_fields() and not self._filling else None
        current = running.status.settings if running else None
        try:
            value = self.ui.picture(name) if name in PICTURES else self.ui.form.value(name)
            if name not in PICTURES or running:
                (current or self._check_settings(name)).replace(**{name: value})
        except SettingsError as error:
            self._mark(name, str(error))
            return
        self._mark(name, None)
        for other in set(self.ui.messages.field_errors) & set(DEPENDENT.get(name, ())):
            self.changed(other)
        if running:
            running.change({name: value})

    def _check_settings(self, name: str) -> Settings:
        """Settings in which to check a field: the defaults, and those values of the form that the field depends on."""
        form = self.ui.form
        film = {"frame_steps": form.value("frame_steps")} if name in FilmFields.model_fields else {}
        masks = {"prompt_masks": self.ui.picture("prompt_masks")} if name == "prompt" else {}
        values = {"size": form.value("size"), "init_image": self.ui.picture("init_image"), **film, **masks}
        return Settings(canvas=form.value("canvas"), **values)

    def _mark(self, name: str, error: str | None) -> None:
        """Show a field's error beside it and in the message strip; None removes it."""
        self.ui.messages.field_error(name, in_titles(error) if error else None)
        self.ui.form.show_errors(self.ui.messages.field_errors)

    def _field(self, error: str) -> str | None:
        match = re.match(r"[a-z_]+", error)
        return match[0] if match and match[0] in self.ui.form.controls else None

    def _live(self) -> dict[str, Any]:
        """The settings in the form that may change during a run. Raises SettingsError."""
        settings = self.settings()
        return {name: settings.value(name) for name in live_fields(settings) if name != "canvas_options"}

    def _differences(self, current: Settings) -> dict[str, Any]:
        """The live settings in the form that differ from `current`."""
        live = {name: value for name, value in self._live().items() if name in live_fields(current)}
        shown = current.replace(**live)
        return {name: value for name, value in live.items() if metadata.differs(name, shown, current)}

    # --- what is shown

    def tick(self) -> None:
        """Update the panel from the job's status. Cheap when nothing is new."""
        with self._lock:
            if self.closed or not REGISTRY.job or (status := REGISTRY.job.status) is self._seen:
                return
            before, self._seen = self._seen, status
            if not self.library.shows_other:
                self.ui.view.show(status)
            if status.settings and status.revision != self._revision:
                self._revision = status.revision
                inputs = status.folder and status.folder / "inputs"
                self._follow(status.settings, inputs, everything=before is None or before.state == "loading")
            if status.max_pixels is not None and status.max_pixels != (before.max_pixels if before else None):
                self.ui.form.mark_sizes(status.max_pixels)
            if status.problem and status.problem is not (before.problem if before else None):
                self.ui.messages.show_problem(status.problem)
            if before is None or status.notes != before.notes:
                self.ui.messages.show_run_notes(status.notes)
            if before is None or status.state != before.state:
                if status.ended:
                    self.guarded(lambda: self._ended(status))
                self.refresh_buttons()

    def _paced(self) -> None:
        """Tick at most once a beat, or at once for urgent news."""
        overdue = time.monotonic() - self._ticked_at >= job.BEAT
        if REGISTRY.job and (overdue or REGISTRY.job.status.urgent(self._seen)):
            self._ticked_at = time.monotonic()
            self.tick()

    def _follow(self, settings: Settings, inputs: Path | None, *, everything: bool) -> None:
        """Show the run's settings in the form: all of them in a new panel, else those that may have changed."""
        values = settings.model_dump()
        names = [name for name in values if everything or name in live_fields() or name == "variations"]
        self._filling = True
        try:
            self.ui.form.load({name: values[name] for name in names if name not in ("quiet", "out")})
            self.guarded(lambda: self.ui.show_pictures(settings, inputs))
        finally:
            self._filling = False

    def _ended(self, status: JobStatus) -> None:
        self.ui.form.refresh_models()
        if status.folder and status.settings:
            if not self.library.shows_other:
                self.ui.downloads.show(RunInfo.read(status.folder), self.ui.view.selected)
            if self.mirror:
                self.mirror.copy(status.folder)
            self.library.read_history()
        if self.ui.disconnect.value and status.state == "done" and self.mirror:
            threading.Thread(target=self._leave, args=(REGISTRY.job,), name="vqclip-leave", daemon=True).start()

    def _leave(self, ended: job.Job | None) -> None:
        """Disconnect from Colab once the copy in the second folder is complete, unless another run has started."""
        if REGISTRY.series:
            REGISTRY.series.wait()
        if self.mirror and self.mirror.wait(1800):
            if REGISTRY.job is ended and self.ui.disconnect.value:
                self.guarded(frontend.disconnect)
        else:
            self.ui.messages.note("The copy in the second folder is not complete, so Colab was not disconnected.")

    def refresh_buttons(self) -> None:
        """Enable the buttons that can be pressed now: none if a newer panel has taken over."""
        self.ui.show_state(
            REGISTRY.job.status if REGISTRY.job else None,
            closed=self.closed,
            other=self.library.shows_other,
            in_series=REGISTRY.in_series is not None,
            undoable=self._undoable(),
        )

    def _undoable(self) -> bool:
        status = REGISTRY.job.status if REGISTRY.job else None
        if status is None or self.library.shows_other or status.state in ("loading", "finishing"):
            return False
        return not status.ended or bool(status.folder and status.step)

    # --- guards

    def safe(self, act: Callable[..., object]) -> Callable[..., None]:
        """A widget's callback that acknowledges the click, ignores the arguments, and shows errors in the panel."""

        def work(*values: Any) -> None:
            self._check_in_charge()
            problem = self.ui.messages.problem
            act(*(each for each in values if not (isinstance(each, dict) and "owner" in each)))
            if problem and problem is self.ui.messages.problem and not (self._seen and problem is self._seen.problem):
                self.ui.messages.show_problem(None)  # remove the problem of an earlier click

        def callback(*values: Any) -> None:
            self._beats += 1
            self.ui.acknowledge(self._beats)
            self.guarded(lambda: work(*values))

        return callback

    def guarded(self, work: Callable[[], object]) -> None:
        """Call a function and show its errors in the panel, because they would be invisible elsewhere."""
        try:
            work()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Show an error in the panel."""
        self.ui.messages.show_problem(explain(error))

    def _check_in_charge(self) -> None:
        if self.closed:
            raise RunError(TAKEN_OVER)

    def give_way(self) -> None:
        """Leave the job to a newer panel, because two panels would send everything twice."""
        with self._lock:
            self.closed = True
            self.ui.messages.show_problem(Problem(TAKEN_OVER))
            self.refresh_buttons()

    # --- who ticks

    def watch(self) -> None:
        """Tick in a thread while a job is running. In Colab, `serve` ticks too."""
        self.guarded(self.tick)
        with self._lock:
            if self._ticker is None:
                self._ticker = threading.Thread(target=self._tick_on, name="vqclip-tick", daemon=True)
                self._ticker.start()

    def _tick_on(self) -> None:
        while True:
            self.guarded(self._paced)
            with self._lock:  # the next job of a series may start at this moment
                current = REGISTRY.job
                if current is None or self.closed or (not current.alive and self._seen is current.status):
                    self._ticker = None
                    return
            current.wait_for_change()

    async def serve(self) -> None:
        """Keep the cell running in Colab, until a newer panel takes over; elsewhere return at once."""
        busy = lambda: bool(REGISTRY.job and (REGISTRY.running or self._seen is not REGISTRY.job.status))  # noqa: E731
        await frontend.serve(lambda: self.closed, lambda: self.guarded(self._paced), self.stop, busy)


def _copy_saved_run(folder: Path) -> None:
    """Copy a saved run to the second folder of the panel in charge."""
    if REGISTRY.controller and REGISTRY.controller.mirror:
        REGISTRY.controller.mirror.copy(folder)
