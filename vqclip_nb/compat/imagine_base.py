"""The base of the classes `Imagine` of Big Sleep and Deep Daze: an object that paints when it is called."""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from vqclip_nb import models, session
from vqclip_nb.compat import saved_outputs
from vqclip_nb.compat.copies import Copies, Duration, check, path_list
from vqclip_nb.compat.options import Tool
from vqclip_nb.compat.plan import Plan
from vqclip_nb.errors import NotANumber, OutOfMemory, SettingsError
from vqclip_nb.models.missing import download_missing
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.stop import Stop
from vqclip_nb.timeline import Edit

RUN_ARGUMENTS = ("device", "runs", "demo")  # the arguments of the classes besides those of the tool


class ImagineBase:
    """Paints the plan of its arguments in a run's folder, and writes the files of the tool.

    A second call continues the picture towards the present text and picture; after `reset` it starts over.
    arguments: those of the tool, and RUN_ARGUMENTS: the device, the folder of runs, and whether to use the models that
    come with the package. Raises SettingsError for invalid arguments.
    """

    def __init__(
        self, tool: Tool, plan: Callable[[Mapping[str, Any], Tool], Plan], arguments: Mapping[str, Any]
    ) -> None:
        self._tool, self._plan_of = tool, plan

        def is_default(name: str) -> bool:
            value, default = arguments[name], tool.option(name).default
            return value is default or (isinstance(value, str | float) and value == default)

        self._run_arguments = {name: arguments[name] for name in RUN_ARGUMENTS}
        self._arguments = {
            name: _to_file(value)
            for name, value in arguments.items()
            if name not in RUN_ARGUMENTS and not is_default(name)
        }
        self.run: Path | None = None  # the folder of the latest run
        self._seed: int | None = None
        self._seed = self._plan().settings.seed

    @property
    def filename(self) -> Path:
        """The path of the picture."""
        return self._plan().outputs.picture

    def reset(self) -> None:
        """Start over with the next call; without a seed among the arguments, from another seed."""
        self.run = None
        self._seed = None
        self._seed = self._plan().settings.seed

    def __call__(self) -> Path:
        """Paint, and return the path of the picture. Ctrl-C ends the run and keeps the picture so far."""
        plan = self._plan()
        check(plan.outputs)
        for note in plan.notes:
            tqdm.write(note, file=sys.stderr)
        settings = plan.settings
        download_missing(models.chosen(settings.canvases, settings.perceptor))
        active = self._continue(plan, self.run) if self.run else session.start(settings)
        saved_outputs.save(plan.outputs, active.record.folder)
        copies = Copies(plan.outputs, settings, lambda: active.record.about(active.painting))
        duration = Duration(settings.steps, plan.length)
        if duration.first_message:
            tqdm.write(duration.first_message, file=sys.stderr)
        ending = _paint(active, copies, duration)
        self.run = active.record.folder
        paths = copies.finish(self.run / "result.png")
        tqdm.write(
            f"{ending}Written: {path_list([*copies.written, *paths])}; the run is in {self.run}", file=sys.stderr
        )
        return plan.outputs.picture

    def _encode(self, **changes: Any) -> None:
        """Change the text or picture from now on. If it raises SettingsError, nothing is changed."""
        before = self._arguments
        self._arguments = {**before, **{name: _to_file(value) for name, value in changes.items()}}
        try:
            self._plan()
        except SettingsError:
            self._arguments = before
            raise

    def _plan(self) -> Plan:
        seed = {} if self._arguments.get("seed") is not None or self._seed is None else {"seed": self._seed}
        plan = self._plan_of({**self._arguments, **seed}, self._tool)
        plan = plan.on_demo() if self._run_arguments["demo"] else plan
        return plan.with_run_options(device=self._run_arguments["device"], out=str(self._run_arguments["runs"]))

    def _continue(self, plan: Plan, run: Path) -> session.ActiveRun:
        """A branch of the latest run with the plan's number of steps, towards the plan's text and picture."""
        last_step = max(RunInfo.read(run).saved_steps, default=0)
        settings = plan.settings
        words = {"prompt": settings.prompt, "image_prompts": settings.image_prompts}
        return session.branch(
            run, Edit({**words, "steps": last_step + settings.steps}), run_options={"out": settings.out}
        )


def _paint(active: session.ActiveRun, copies: Copies, duration: Duration) -> str:
    """Paint and finish a run. Returns the reason in words if it ended early."""
    painting, ending = active.painting, ""
    first_step = painting.step_count
    with Stop() as stop:
        with tqdm(total=painting.settings.steps, initial=first_step, unit="step", dynamic_ncols=True) as bar:
            try:
                for frame in active:
                    bar.update()
                    copies.add(frame)
                    if message := duration.add(frame.step):
                        bar.write(message, file=sys.stderr)
                    if stop.count:
                        ending = f"Stopped at step {frame.step} of {frame.steps}. "
                        break
            except (NotANumber, OutOfMemory) as error:
                ending = f"Stopped: {error}. "
        once = min(stop.count, 1)
        active.record.finish(painting, hurry=lambda: stop.count > once)
    return ending


def _to_file(value: Any) -> Any:
    """Save a PIL picture to a file, because a run copies its input files; any other value is returned unchanged."""
    if not isinstance(value, Image.Image):
        return value
    path = Path(tempfile.mkdtemp(prefix="vqclip-")) / "PIL_img.png"
    value.save(path)
    return path
