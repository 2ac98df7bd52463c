"""Imagining: what the classes `Imagine` of Big Sleep and Deep Daze share: a run that is called, and called again."""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from vqclip_nb import models, session
from vqclip_nb.compat import places
from vqclip_nb.compat.copies import Copies, Duration, check, kept
from vqclip_nb.compat.options import Tool
from vqclip_nb.compat.plan import Plan
from vqclip_nb.errors import NotANumber, OutOfMemory, SettingsError
from vqclip_nb.models.ready import ready
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.stop import Stop
from vqclip_nb.timeline import Edit

PLACE = ("device", "runs", "demo")  # what the classes take besides the arguments of the tool


class Imagining:
    """Paints what a plan of `given` says, in a run's folder, and writes the files of the tool.

    Called again, it continues the picture, towards what is asked then; after `reset` it begins anew.
    `given` holds the arguments of the tool, and of PLACE: the device, the folder of runs, and whether the models that
    come with the package paint. Raises SettingsError for what cannot be painted.
    """

    def __init__(
        self, tool: Tool, plan: Callable[[Mapping[str, Any], Tool], Plan], arguments: Mapping[str, Any]
    ) -> None:
        self._tool, self._plan_of = tool, plan

        def usual(name: str) -> bool:
            value, default = arguments[name], tool.option(name).default
            return value is default or (isinstance(value, str | float) and value == default)

        self._place = {name: arguments[name] for name in PLACE}
        self._given = {
            name: _as_file(value) for name, value in arguments.items() if name not in PLACE and not usual(name)
        }
        self.run: Path | None = None  # the folder of the latest run
        self._seed: int | None = None
        self._seed = self._plan().settings.seed

    @property
    def filename(self) -> Path:
        """Where the picture goes."""
        return self._plan().outputs.picture

    def reset(self) -> None:
        """Begin anew when called next, from another start where no seed was given."""
        self.run = None
        self._seed = None
        self._seed = self._plan().settings.seed

    def __call__(self) -> Path:
        """Paint; returns the path of the picture. Ctrl-C ends it and keeps the picture so far."""
        plan = self._plan()
        check(plan.outputs)
        for note in plan.notes:
            tqdm.write(note, file=sys.stderr)
        settings = plan.settings
        ready(models.chosen(settings.canvases, settings.perceptor))
        active = self._on_from(plan, self.run) if self.run else session.start(settings)
        places.keep(plan.outputs, active.record.folder)
        copies = Copies(plan.outputs, settings, lambda: active.record.about(active.painting))
        duration = Duration(settings.steps, plan.length)
        if duration.ahead:
            tqdm.write(duration.ahead, file=sys.stderr)
        ending = _painted(active, copies, duration)
        self.run = active.record.folder
        paths = copies.finish(self.run / "result.png")
        tqdm.write(f"{ending}Written: {kept([*copies.written, *paths])}; the run is in {self.run}", file=sys.stderr)
        return plan.outputs.picture

    def _encode(self, **changes: Any) -> None:
        """Ask for another text or picture from now on. Raises SettingsError, and then nothing is changed."""
        before = self._given
        self._given = {**before, **{name: _as_file(value) for name, value in changes.items()}}
        try:
            self._plan()
        except SettingsError:
            self._given = before
            raise

    def _plan(self) -> Plan:
        seed = {} if self._given.get("seed") is not None or self._seed is None else {"seed": self._seed}
        plan = self._plan_of({**self._given, **seed}, self._tool)
        plan = plan.on_demo() if self._place["demo"] else plan
        return plan.at(device=self._place["device"], out=str(self._place["runs"]))

    def _on_from(self, plan: Plan, run: Path) -> session.ActiveRun:
        """A branch of the latest run that makes as many steps as were asked for, towards what is asked for now."""
        last_step = max(RunInfo.read(run).kept, default=0)
        settings = plan.settings
        words = {"prompt": settings.prompt, "image_prompts": settings.image_prompts}
        return session.branch(
            run, Edit({**words, "steps": last_step + settings.steps}), run_options={"out": settings.out}
        )


def _painted(active: session.ActiveRun, copies: Copies, duration: Duration) -> str:
    """Paint and finish; what ended it early, in words."""
    painting, ending = active.painting, ""
    begun_at = painting.step_count
    with Stop() as stop:
        with tqdm(total=painting.settings.steps, initial=begun_at, unit="step", dynamic_ncols=True) as bar:
            try:
                for frame in active:
                    bar.update()
                    copies.add(frame)
                    if message := duration.add(frame.step):
                        bar.write(message, file=sys.stderr)
                    if stop.heard:
                        ending = f"Stopped at step {frame.step} of {frame.steps}. "
                        break
            except (NotANumber, OutOfMemory) as error:
                ending = f"Stopped: {error}. "
        once = min(stop.heard, 1)
        active.record.finish(painting, hurry=lambda: stop.heard > once)
    return ending


def _as_file(value: Any) -> Any:
    """A picture in memory as a file, since a run keeps the files it was given; anything else as it is."""
    if not isinstance(value, Image.Image):
        return value
    path = Path(tempfile.mkdtemp(prefix="vqclip-")) / "PIL_img.png"
    value.save(path)
    return path
