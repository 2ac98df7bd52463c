"""Copies: the files of another tool, written while a run paints and at its end."""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip_nb import embedded, images, prompts
from vqclip_nb.compat.plan import Outputs
from vqclip_nb.errors import PaintWarning, SettingsError
from vqclip_nb.frame import Frame
from vqclip_nb.paths import expand_home
from vqclip_nb.runs import layout
from vqclip_nb.runs.films import make_film
from vqclip_nb.runs.loss_log import LossLog
from vqclip_nb.settings import Settings


def check(outputs: Outputs) -> None:
    """Raise SettingsError if the tool's picture cannot be written. Call it before anything is painted."""
    picture = expand_home(outputs.picture)
    if picture.suffix.lower() not in embedded.FORMATS:
        raise SettingsError(f"output must end in {', '.join(embedded.FORMATS)}, got {str(picture)!r}")
    if picture.is_dir() or not picture.absolute().parent.is_dir():
        raise SettingsError(f"output must be a file in an existing folder, got {str(picture)!r}")


class Copies:
    """Writes a tool's pictures while a run paints, and its last picture and films when the run has ended.

    about: returns the metadata of a picture, or None. losses: those of the steps before a run was resumed.
    """

    def __init__(
        self,
        outputs: Outputs,
        settings: Settings,
        about: Callable[[], Mapping[str, Any] | None],
        losses: LossLog | None = None,
    ) -> None:
        self.outputs, self.settings, self.written, self._about = outputs, settings, list[Path](), about
        self._texts = [prompt.text for prompt in prompts.parse(settings.prompt)]
        pulls = losses.sums(self._texts) if losses else {}
        self._best = min((pull for step, pull in pulls.items() if outputs.number(step)), default=float("inf"))
        self._failed = False

    def add(self, frame: Frame) -> None:
        """Write the pictures that the tool writes after this step. Warns once if the disk fails."""
        number = self.outputs.number(frame.step)
        if number is None or frame.image is None:
            return
        (pil,) = images.to_pils(frame.image[:1])
        paths = [expand_home(self.outputs.picture)]
        if self.outputs.numbered and number >= self.outputs.first_number:
            paths.append(Path(self.outputs.numbered.format(number)))
        if self.outputs.best and (pull := self._pull(frame)) < self._best:
            self._best = pull
            paths.append(self.outputs.best)
        for path in paths:
            self._write(pil, path)

    def finish(self, result: Path) -> list[Path]:
        """Write the picture, with its settings inside, and the films. result: the result.png of the run.

        Returns the paths. Raises OSError.
        """
        picture, run = expand_home(self.outputs.picture), result.parent
        embedded.copy(result, picture)
        paths = [picture]
        for path in self.outputs.films:
            make_film(layout.frames(run), path, self.settings, run / "inputs", seconds=self.outputs.seconds)
            paths.append(path)
        return paths

    def _pull(self, frame: Frame) -> float:
        return sum(float(frame.losses[text].mean()) for text in self._texts if text in frame.losses)

    def _write(self, pil: Image.Image, path: Path) -> None:
        try:
            embedded.write_as(pil, path, self._about())
            self.written.append(path)
        except OSError as error:
            if not self._failed:
                message = f"{path} could not be written: {error.strerror}; the run's folder has all pictures"
                warnings.warn(message, PaintWarning, stacklevel=3)
            self._failed = True


class Duration:
    """The duration of a run, reported once after some steps were timed, if the run is long."""

    LONG, MANY, TIMED = 600.0, 10_000, 2.0

    def __init__(self, steps: int, length: str = "") -> None:
        self.steps, self.length = steps, length
        self._first: tuple[int, float] | None = None
        self._is_reported = False

    @property
    def first_message(self) -> str | None:
        """A message before the first step of a run with very many steps, or None."""
        return f"{self._count_text}; an estimate of the time follows" if self.steps >= self.MANY else None

    @property
    def _count_text(self) -> str:
        return f"{self.steps:,} steps" + (f" ({self.length})" if self.length else "")

    def add(self, step: int) -> str | None:
        """A message once two seconds of steps were timed and the run is long; else None."""
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
            return None
        first_step, since = self._first
        if self._is_reported or step < first_step + 2 or now - since < self.TIMED:
            return None
        self._is_reported = True
        seconds = self.steps * (now - since) / (step - first_step)
        if seconds < self.LONG and self.steps < self.MANY:
            return None
        return f"{self._count_text} take {duration_text(seconds)} here; Ctrl-C ends it and keeps the picture so far"


def duration_text(seconds: float) -> str:
    """A duration in words: `about 14 h`, `about 9 min`."""
    for unit, length in (("days", 172_800), ("h", 7200), ("min", 120)):
        if seconds >= length:
            return f"about {seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    return f"about {seconds:.0f} s"


def path_list(paths: Iterable[Path]) -> str:
    """Distinct paths in one line, separated by commas."""
    return ", ".join(map(str, dict.fromkeys(paths)))
