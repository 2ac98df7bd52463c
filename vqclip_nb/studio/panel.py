"""Panel: the Studio itself, where the form, the view, the job and the gallery meet."""

import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from vqclip_nb import embedded, models, presets
from vqclip_nb.errors import PictureError, RunError
from vqclip_nb.fields import by_name, live_fields
from vqclip_nb.paths import expanded
from vqclip_nb.runs import metadata
from vqclip_nb.runs.background_writer import check_free
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.settings import Settings
from vqclip_nb.studio import backup, frontend, jobs, markup
from vqclip_nb.studio.downloads import Downloads
from vqclip_nb.studio.form import Form, explain
from vqclip_nb.studio.history import History, cut_off
from vqclip_nb.studio.image_inputs import ImageInputs, uploaded
from vqclip_nb.studio.jobs import Job, JobStatus, Trouble
from vqclip_nb.studio.suggestions import has, recipes, surprise, toggled, which, words
from vqclip_nb.studio.view import View

LARGE: dict[str, Any] = dict(presets.load("large").settings)
TAKEN_OVER = "A newer panel has taken over: use that one, or run this cell again."
_panel: "Studio | None" = None
_job: Job | None = None  # the run that goes on, so that a cell that is run again finds it


class Studio(widgets.VBox):
    """The panel. Put it last in a cell; running the cell again finds the run that is still going.

    out: the folder of the runs; without it that of the settings. mirror: a second folder, such as one on a mounted
    drive, that they are copied to. settings: what the form begins with, unless a run is still going; without them it
    begins with those of the last run.
    """

    def __init__(
        self, *, out: str | Path | None = None, mirror: str | Path | None = None, settings: Settings | None = None
    ) -> None:
        self._lock = threading.RLock()
        self._seen: JobStatus | None = None
        self._turned = _job.news.turned if _job and not _job.alive and settings else 0  # of the settings in the form
        self._ticked_at = 0.0
        self._trouble: Trouble | None = None
        self._notes: tuple[str, ...] = ()
        self._good = ""
        self._here = Path.cwd()
        self._closed = False
        self._looked_at: Path | None = None  # an earlier run, whose frames the view shows
        self._filling = False  # the form is being filled: nobody changed anything
        self._accepted: Callable[[], object] = lambda: None  # what the offer of the day does
        self._ticker: threading.Thread | None = None
        self.mirror = backup.Mirror(mirror, self._note) if mirror else None
        self.form = Form(self._safe(self._changed))
        self.given = ImageInputs(self._safe(self._changed), self._fail)
        self.view = View(self._safe(self._pick), self._safe(self._go_on_from))
        self.after = Downloads(self._say_good, self._fail)
        self.earlier = History(self._safe(self._take_settings), self._safe(self._continue))
        self.form.load((settings.model_dump() if settings else {}) | ({"out": str(out)} if out else {}))
        self._build()
        if settings:
            self._guarded(lambda: self.given.follow(settings, None))
        super().__init__([widgets.HTML(markup.STYLE), self._head, self._columns, self._folds])
        self.add_class("vq-studio")
        global _panel
        if _panel:
            _panel._give_way()
        _panel = self
        self._redraw_chips()
        self._offer_quietly()
        self._buttons()
        if _job:
            self._watch()
        self._looking = threading.Thread(target=self._look_around, name="vqclip-look", daemon=True)
        self._looking.start()

    # --- what it is made of

    def _build(self) -> None:
        self.start = self._button("Start", "Paint (with the settings as they stand)", self._start, "play", "success")
        self.pause = self._button("Pause", "Hold after this step; press again to continue", self._pause, "pause")
        self.stop = self._button("Stop", "End after this step, and keep everything", self._stop, "stop")
        self.undo = self._button("Undo", "Back to before the last change, or the last saved state", self._undo, "undo")
        self.start.add_class("vq-main")
        actions = widgets.HBox([self.start, self.pause, self.stop, self.undo])
        actions.add_class("vq-actions")
        self.chips = widgets.HBox([])
        self.chips.add_class("vq-chips")
        self.surprise = self._button("Surprise me", "Write a prompt by chance", self._surprise, "magic")
        wide = {"width": "33%"}
        self.examples = widgets.Dropdown(options=[("Examples …", "")], description="Examples", layout=wide)
        self.recipes = widgets.Dropdown(options=["Recipe …", *recipes()], description="Recipe", layout=wide)
        for menu in (self.examples, self.recipes):
            menu.add_class("vq-heard")
        explain(self.examples, "A prompt to begin with")
        explain(self.recipes, "Settings that go well together")
        self.examples.observe(self._safe(self._example), "value")
        self.recipes.observe(self._safe(self._recipe), "value")
        self.surprise.layout.width = "33%"
        ideas = widgets.HBox([self.surprise, self.examples, self.recipes], layout={"width": "98%"})
        self.large = self._button("", "They know every word, and want a GPU", self._get_large, "cloud-download")
        self.large.layout.width = "98%"
        self.message = widgets.HTML()
        self.remedy = self._button("", "Do that", self._remedy, "check", "warning")
        self.offer = widgets.HTML()
        self.accept = self._button("Yes", "", lambda: self._answered(self._accepted))
        self.decline = self._button("Not now", "", lambda: self._answered(lambda: None))
        self._offered = widgets.VBox([self.offer, widgets.HBox([self.accept, self.decline])])
        for part in (self._offered, self.remedy):
            part.layout.display = "none"
        self.more_steps = self._button("More steps", "Go on with this run", self._more, "forward")
        self.more_steps.layout.width = "auto"
        self._head = widgets.VBox([self._offered, self.message, self.remedy])
        pictures, advanced = widgets.Accordion([self.given.box]), widgets.Accordion([self.form.rest])
        for fold, title in ((pictures, "Pictures to start from or to paint towards"), (advanced, "Advanced")):
            fold.set_title(0, title)
            fold.selected_index = None
        prompt = widgets.VBox([widgets.HTML("<b>What shall it be?</b>"), self.form.controls["prompt"]])
        said = widgets.VBox([prompt, actions, self.chips, ideas])
        chosen = widgets.VBox([self.large, self.form.first, pictures, advanced])
        seen = widgets.VBox([self.view.box, self.more_steps, self.after.box])
        self._columns = widgets.VBox([said, seen, chosen])
        for part, kind in ((self._columns, "parts"), (said, "words"), (seen, "seen"), (chosen, "choices")):
            part.add_class(f"vq-{kind}")
        self.load = widgets.FileUpload(accept="image/*", multiple=False, description="Load settings from a picture")
        self.load.layout.width = "290px"
        self.load.add_class("vq-load")
        self.load.observe(self._safe(self._loaded), "value")
        self.disconnect = widgets.Checkbox(value=False, description="Disconnect from Colab when done", indent=False)
        offered = frontend.in_colab() and self.mirror  # without a copy elsewhere the picture would go with the machine
        extras = [self.load, *([self.disconnect] if offered else [])]
        self._folds = widgets.Accordion([widgets.VBox([*extras, self.earlier.box])])
        self._folds.set_title(0, "Earlier runs")
        self._folds.selected_index = None

    @property
    def out(self) -> Path:
        """The folder of the runs, below where the panel was made, wherever a later cell goes."""
        return self._here / expanded(self.form.value("out"))

    # --- what a person does

    def _start(self) -> None:
        settings = self.settings().replace(out=str(self.out))

        def open(tell: Callable[[str], None]) -> Any:
            tell("Loading PyTorch and the models")
            from vqclip_nb import session

            jobs.fetch_models(settings, tell)
            return session.start(settings)

        self.run(open)

    def settings(self) -> Settings:
        """What the form says. Raises SettingsError."""
        values = self.form.values() | {"init_image": self.given.init_image, "image_prompts": self.given.image_prompts}
        return Settings(**values)

    def run(self, open: Callable[[Callable[[str], None]], Any], *, paused: bool = False) -> None:
        """Start a job, unless one is going on. Raises RunError in a panel that another has taken over from."""
        global _job
        with self._lock:
            self._in_charge()
            if _job and _job.alive:
                return
            self._trouble, self._notes, self._good, self._seen, self._looked_at = None, (), "", None, None
            self._offered.layout.display = "none"
            self.view.forget()
            self.after.forget()
            _job = Job(open, paused=paused, saved=_copied, before=_job.news if _job else None).start()
            self._watch()

    def _pause(self) -> None:
        if _job and _job.news.state == "paused":
            _job.go_on()
        elif _job:
            _job.pause()

    def _stop(self) -> None:
        if _job:
            _job.stop()

    def _undo(self) -> None:
        if _job and _job.alive:
            _job.undo()
        elif _job and (folder := _job.news.folder) and not self._looked_at:
            if len(kept := RunInfo.read(folder).kept) < 2:
                self._note("There is nothing to undo: no earlier state of this run is kept.")
            else:
                self._reopen(folder, back_to=kept[-2])

    def _reopen(
        self,
        folder: Path,
        *,
        back_to: int | None = None,
        changed: Mapping[str, Any] | None = None,
        copied_from: Path | None = None,
    ) -> None:
        """Go on with a run's folder, from its last state, or, held, from the one of the step `back_to`."""

        def open(tell: Callable[[str], None]) -> Any:
            tell("Taking the run up again")
            from vqclip_nb import session
            from vqclip_nb.timeline import Edit

            if copied_from:
                tell("Copying the run from the second folder")
                backup.bring_back(copied_from, folder)
            return session.resume(folder, step=back_to, change=Edit(changed) if changed else None)

        self.run(open, paused=back_to is not None)

    def _more(self) -> None:
        if _job and not _job.alive and (news := _job.news).folder and news.settings:
            changed = self._steered(news.settings)
            if news.complete:
                changed["steps"] = news.step + _more(news)
            elif changed.get("steps", news.steps) <= news.step:
                del changed["steps"]
            self._reopen(news.folder, changed=changed)

    def _pick(self, number: int) -> None:
        if _job and _job.alive and _job.news.state != "finishing":
            _job.steer({}, pick=number)
        elif _job and (folder := _job.news.folder):
            self._once_ended(partial(self._branch, folder, self._live(), None, number))

    def _go_on_from(self, step: int) -> None:
        if folder := self._looked_at or (_job and _job.news.folder):
            changes = self._live()
            if _job and _job.alive:
                _job.stop()
            self._once_ended(partial(self._branch, folder, changes, step, None))

    def _once_ended(self, work: Callable[[], object]) -> None:
        """Do something when no job goes on any more; not in a click, which must not wait."""
        if not ((job := _job) and job.alive):
            work()
            return

        def later() -> None:
            job.wait()
            self._guarded(work)

        threading.Thread(target=later, name="vqclip-later", daemon=True).start()

    def _branch(self, folder: Path, changes: Mapping[str, Any], step: int | None, pick: int | None) -> None:
        """A new run from a step of this one, painted with the changes that are none there."""

        def open(tell: Callable[[str], None]) -> Any:
            tell("Going back to that frame")
            from vqclip_nb import session
            from vqclip_nb.timeline import Edit

            way = lambda made: tell(f"Painting the way to that frame again: step {made} of {step}")  # noqa: E731
            place = {"out": str(self.out)}  # it may lie in the second folder alone
            return session.branch(folder, Edit(changes, variation=pick), step=step, place=place, on_way=way)

        self.run(open)

    def _continue(self, story: RunInfo) -> None:
        self._take_settings(story)
        folder = self.out / story.folder.name
        self._reopen(folder, copied_from=None if folder.exists() else story.folder)  # it may be only in the mirror

    def _changed(self, name: str) -> None:
        """A control changed: while a run goes on, it is steered."""
        if name == "out":
            self._read_earlier()
        if name in ("prompt", "perceptor"):
            self._redraw_chips()
        if name in ("canvas", "perceptor"):
            self._offer_quietly()
        if self._filling or not (_job and _job.alive) or name not in live_fields():
            return
        value = self.given.image_prompts if name == "image_prompts" else self.form.value(name)
        (_job.news.settings or self.settings()).replace(
            **{name: value}
        )  # says what is wrong before the run hears of it
        _job.steer({name: value})

    def _live(self) -> dict[str, Any]:
        """What the form says of the settings that may change in flight. Raises SettingsError."""
        settings = self.settings()
        return {name: settings.value(name) for name in live_fields(settings)}

    def _steered(self, current: Settings) -> dict[str, Any]:
        """Those in which the form differs from these."""
        live = self._live()
        shown = current.replace(**live)
        return {name: value for name, value in live.items() if metadata.differs(name, shown, current)}

    # --- words

    def _redraw_chips(self) -> None:
        prompt, kind = self.form.value("prompt"), which(self.form.value("perceptor"))
        named = words()["chips"][kind]
        if [chip.description for chip in self.chips.children] != named:
            self.chips.children = [
                self._button(name, f"Add or remove: {name}", partial(self._chip, name)) for name in named
            ]
            for chip in self.chips.children:
                chip.add_class("vq-chip")
            groups = words()["examples"][kind].items()
            offered = [(f"{group}: {text}", text) for group, texts in groups for text in texts]
            self.examples.options = [("Examples …", ""), *offered]
        for chip in self.chips.children:
            chip.button_style = "info" if has(prompt, chip.description) else ""

    def _chip(self, name: str) -> None:
        self._write(toggled(self.form.value("prompt"), name))

    def _surprise(self) -> None:
        grammar = words()["surprise"][which(self.form.value("perceptor"))]
        self._write(surprise(grammar, random.Random()))

    def _example(self) -> None:
        if self.examples.value:
            self._write(self.examples.value)
            self.examples.value = ""

    def _recipe(self) -> None:
        if (recipe := recipes().get(self.recipes.value)) is not None:
            self.recipes.value = self.recipes.options[0]
            plain = {name: by_name(name).default for r in recipes().values() for name in r}
            running = bool(_job and _job.alive)
            taken = {name: value for name, value in {**plain, **recipe}.items() if not running or name in live_fields()}
            self.form.load(taken)
            for name in taken:
                self._changed(name)

    def _write(self, prompt: str) -> None:
        self.form.controls["prompt"].value = prompt

    # --- earlier runs, settings from a picture, offers

    def _take_settings(self, story: RunInfo) -> None:
        self._fill(story.current, story.inputs)
        self._looked_at = story.folder
        self.view.show_run(story.folder)
        self.after.show(story.folder, story)
        self._buttons()

    def _loaded(self) -> None:
        """Settings of a picture that was uploaded: data, and nothing more."""
        import tempfile

        if not (data := uploaded(self.load)):
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture"
            path.write_bytes(data)
            try:
                told = embedded.read(path)
            except PictureError as error:
                raise PictureError(str(error).replace(repr(str(path)), "that file")) from None
        self._fill(metadata.settled(told), None)
        steered = " It was steered while it was painted; these are the settings at its end." if told["timeline"] else ""
        self._note("The settings of that picture are in the form." + steered)

    def _fill(self, settings: Settings, inputs: Path | None) -> None:
        if _job and _job.alive:
            raise RunError("A run is going on; press Stop first, then take these settings.")
        place = ("out", "device", "every", "save_every", "metadata", "quiet")
        self.form.load({name: value for name, value in settings.model_dump().items() if name not in place})
        self._redraw_chips()
        self.given.load(settings, inputs)

    def _look_around(self) -> None:
        """After the panel is shown: what runs there are, whether one was cut off, and whether there is a GPU."""
        try:
            stories = self._read_earlier()
            if not (_job and _job.alive) and (story := cut_off(stories)):
                self._offer_to_continue(story)
            elif not _job and self.form.value("perceptor") == "demo" and shutil.which("nvidia-smi"):
                self._offer_large()
        except Exception as error:
            self._fail(error)

    def _read_earlier(self) -> list[RunInfo]:
        """The gallery, read anew."""
        return self.earlier.read(self.out, *([self.mirror.place] if self.mirror else []))

    def _offer_to_continue(self, story: RunInfo) -> None:
        run = f"The run “{story.current.prompt[:80]}”"
        try:
            check_free(story.folder)
        except RunError:
            self._note(f"{run} is being painted in another notebook or terminal, so it is not offered here.")
            return
        said = f"{run} was cut off after step {story.kept[-1]} of {story.current.steps}."
        self._propose(said, "Continue it", lambda: self._continue(story))

    def _offer_large(self) -> None:
        said = "There is a GPU. Get the large models (1.3 GB, about a minute): they know every word."
        self._propose(said, "Get the large models", self._get_large)

    def _offer_quietly(self) -> None:
        """A button among the choices that gets the large models, or chooses those that are here."""
        lacking = [entry for entry in models.chosen(LARGE["canvas"], LARGE["perceptor"]) if not entry.on_disk]
        size = f" ({sum(entry.size or 0 for entry in lacking) / 1e9:.1f} GB)"
        self.large.description = f"Get the large models{size}" if lacking else "Choose the large models"
        chosen = all(self.form.value(name) == LARGE[name] for name in ("canvas", "perceptor"))
        self.large.layout.display = "none" if chosen else ""

    def _propose(self, said: str, yes: str, act: Callable[[], object]) -> None:
        self.offer.value, self._accepted = markup.good(said), act
        self.accept.description, self.accept.layout.width = yes, "auto"
        self._offered.layout.display = ""

    def _answered(self, work: Callable[[], object]) -> None:
        self._offered.layout.display = "none"
        self._guarded(work)

    def _get_large(self) -> None:
        """Fetch the large models in a thread of its own, and choose them when they are there."""
        self._offered.layout.display = "none"
        self.large.disabled = True

        def work() -> None:
            try:
                jobs.fetch_models(Settings(**LARGE), self._say_good)
                self.form.refresh_models()
                if _job and _job.alive:
                    self._say_good("The large models are here; choose them when this run has ended.")
                    return
                self.form.load(LARGE)
                self._redraw_chips()
                self._say_good("The large models are here, and chosen.")
            except Exception as error:
                self._fail(error)
            finally:
                self._offer_quietly()
                self.large.disabled = False

        threading.Thread(target=work, name="vqclip-fetch", daemon=True).start()

    # --- what is shown

    def tick(self) -> None:
        """Bring the panel up to what the job knows. Cheap when there is nothing new."""
        with self._lock:
            if self._closed or not _job or (news := _job.news) is self._seen:
                return
            before, self._seen = self._seen, news
            self.view.show(news)
            if news.settings and news.turned != self._turned:
                self._turned = news.turned
                inputs = news.folder and news.folder / "inputs"
                self._follow(news.settings, inputs, everything=before is None or before.state == "loading")
            if news.room is not None and news.room != (before.room if before else None):
                self.form.mark_sizes(news.room)
            if news.trouble is not None:
                self._trouble = news.trouble
            self._say()
            if before is None or news.state != before.state:
                if news.state in jobs.TERMINAL_STATES:
                    self._guarded(lambda: self._ended(news))
                self._buttons()

    def _paced(self) -> None:
        """Tick, once a beat at most, unless something is new that should not wait."""
        if _job and (time.monotonic() - self._ticked_at >= jobs.BEAT or _job.news.presses(self._seen)):
            self._ticked_at = time.monotonic()
            self.tick()

    def _follow(self, settings: Settings, inputs: Path | None, *, everything: bool) -> None:
        """Show what the run is painted with: all of it in a panel that comes to it, else what may have turned."""
        shown = settings.model_dump()
        names = [name for name in shown if everything or name in live_fields() or name == "variations"]
        self._filling = True
        try:
            self.form.load({name: shown[name] for name in names if name not in ("quiet", "out")})
            self._guarded(lambda: self.given.follow(settings, inputs))
        finally:
            self._filling = False
        self._redraw_chips()

    def _ended(self, news: JobStatus) -> None:
        self._looked_at = None
        self.form.refresh_models()
        if news.folder and news.settings:
            self.after.show(news.folder, RunInfo.read(news.folder))
            if self.mirror:
                self.mirror.copy(news.folder)
            self._read_earlier()
        if self.disconnect.value and news.state == "done" and self.mirror:
            threading.Thread(target=self._leave, args=(_job,), name="vqclip-leave", daemon=True).start()

    def _leave(self, job: Job | None) -> None:
        """Disconnect, once the copy in the second folder is complete, unless another run has begun by then."""
        if self.mirror and self.mirror.wait(1800):
            if _job is job and self.disconnect.value:
                self._guarded(frontend.disconnect)
        else:
            self._note("The copy in the second folder is not complete, so Colab was not disconnected.")

    def _buttons(self) -> None:
        """Which can be pressed now: none in a panel that another has taken over from."""
        if self._closed:
            for button in (self.start, self.pause, self.stop, self.undo, self.more_steps, self.remedy, self.accept):
                button.disabled = True
            return
        news = _job.news if _job else None
        state = news.state if news else "none"
        running = state in ("loading", "painting", "paused")
        self.start.disabled = running or state == "finishing"
        self.pause.disabled = self.stop.disabled = not running
        self.pause.description, self.pause.icon = ("Continue", "play") if state == "paused" else ("Pause", "pause")
        self.undo.disabled = state in ("none", "loading", "finishing") or self._looked_at is not None
        self.form.freeze(running, wholly=state == "finishing")
        known = news and news.folder and news.settings and not self._looked_at
        self.more_steps.layout.display = "" if state in jobs.TERMINAL_STATES and known else "none"
        more = f"Paint {_more(news)} more steps" if news and news.complete else "Continue this run"
        self.more_steps.description = more

    def _say(self) -> None:
        """Trouble, notes of the panel and of the run, and what is no trouble, above everything."""
        said = markup.trouble(self._trouble.said, self._trouble.details) if self._trouble else ""
        notes = dict.fromkeys((*self._notes, *(self._seen.notes if self._seen else ())))
        self.message.value = said + markup.notes(notes) + (markup.good(self._good) if self._good else "")
        remedy = dict(self._trouble.remedy or {}) if self._trouble else {}
        self.remedy.layout.display = "" if remedy else "none"
        if remedy:
            told = ", ".join(f"{by_name(name).title} {_plain(value)}" for name, value in remedy.items())
            self.remedy.description, self.remedy.layout.width = f"Paint with {told}", "auto"

    def _remedy(self) -> None:
        if self._trouble and self._trouble.remedy:
            self.form.load(self._trouble.remedy)
            self._start()

    def _note(self, said: str) -> None:
        self._notes = (*(note for note in self._notes if note != said), said)[-5:]
        self._say()

    def _fail(self, error: Exception) -> None:
        self._trouble = jobs.explain(error)
        self._say()

    def _say_good(self, said: str) -> None:
        self._good = said
        self._say()

    def _safe(self, act: Callable[..., object]) -> Callable[..., None]:
        """What a person may ask for, guarded; a trait's change is not given to those that want none."""

        def work(*given: Any) -> None:
            self._in_charge()
            old = self._trouble
            act(*(each for each in given if not (isinstance(each, dict) and "owner" in each)))
            if old and old is self._trouble and not (_job and old is _job.news.trouble):
                self._trouble = None  # it was of an earlier click
                self._say()

        return lambda *given: self._guarded(lambda: work(*given))

    def _guarded(self, work: Callable[[], object]) -> None:
        """Do what a click asks for; what goes wrong is said in the panel, since elsewhere nobody would see it."""
        try:
            work()
        except Exception as error:
            self._fail(error)

    # --- who is in charge, and who ticks

    def _in_charge(self) -> None:
        if self._closed:
            raise RunError(TAKEN_OVER)

    def _give_way(self) -> None:
        """To another panel, which takes over: two would send everything twice."""
        with self._lock:
            self._closed, self._trouble = True, Trouble(TAKEN_OVER)
            self._say()
            self._buttons()

    def _watch(self) -> None:
        """Tick in a thread of its own while a job goes on. In Colab `serve` does it besides."""
        self._guarded(self.tick)
        if self._ticker is None or not self._ticker.is_alive():
            self._ticker = threading.Thread(target=self._tick_on, name="vqclip-tick", daemon=True)
            self._ticker.start()

    def _tick_on(self) -> None:
        while (job := _job) and not self._closed:
            self._guarded(self._paced)
            if not job.alive and self._seen is job.news:
                return
            job.wait_for_news()

    async def serve(self) -> None:
        """Last line of the cell: `await studio.serve()`. In Colab it keeps the panel alive; elsewhere it returns."""
        busy = lambda: bool(_job and (_job.alive or self._seen is not _job.news))  # noqa: E731
        await frontend.serve(lambda: self._closed, lambda: self._guarded(self._paced), self._stop, busy)

    def close(self) -> None:
        """Let go of the panel; a run that goes on is not ended by it."""
        self._closed = True
        super().close()

    def _button(
        self, text: str, tooltip: str, act: Callable[[], object], icon: str = "", style: str = ""
    ) -> widgets.Button:
        button = widgets.Button(description=text, tooltip=tooltip, icon=icon, button_style=style)
        clicked = self._safe(act)
        button.on_click(lambda _: clicked())
        button.add_class("vq-" + (text.lower().replace(" ", "-") or "remedy"))
        return button


def _copied(folder: Path) -> None:
    """Have what was saved copied to the second folder that the panel in charge has."""
    if _panel and _panel.mirror:
        _panel.mirror.copy(folder)


def _more(news: JobStatus) -> int:
    """How many steps more are offered: as many as were made."""
    return max(news.steps - news.begun_at, 10)


def _plain(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)
