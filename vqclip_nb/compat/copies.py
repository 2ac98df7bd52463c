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
from vqclip_nb.paths import expanded
from vqclip_nb.runs import layout
from vqclip_nb.runs.films import make_film
from vqclip_nb.runs.loss_log import LossLog
from vqclip_nb.settings import Settings


def check(outputs: Outputs) -> None:
    """Raise SettingsError, before anything is painted, when the tool's picture cannot be written."""
    picture = expanded(outputs.picture)
    if picture.suffix.lower() not in embedded.FORMATS:
        raise SettingsError(f"output must end in {', '.join(embedded.FORMATS)}, got {str(picture)!r}")
    if picture.is_dir() or not picture.absolute().parent.is_dir():
        raise SettingsError(f"output must be a file in a folder that is there, got {str(picture)!r}")


class Copies:
    """Writes a tool's pictures as frames come, and its picture and films of a finished run.

    about: gives what a picture says of itself, or None. losses: of the steps that a run has made already.
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
        pulls = losses.of(self._texts) if losses else {}
        self._best = min((pull for step, pull in pulls.items() if outputs.number(step)), default=float("inf"))
        self._failed = False

    def add(self, frame: Frame) -> None:
        """Write what the tool writes after this step. A disk that fails is said once, and painting goes on."""
        number = self.outputs.number(frame.step)
        if number is None or frame.image is None:
            return
        (pil,) = images.to_pils(frame.image[:1])
        paths = [expanded(self.outputs.picture)]
        if self.outputs.numbered and number >= self.outputs.first_number:
            paths.append(Path(self.outputs.numbered.format(number)))
        if self.outputs.best and (pull := self._pull(frame)) < self._best:
            self._best = pull
            paths.append(self.outputs.best)
        for path in paths:
            self._write(pil, path)

    def finish(self, result: Path) -> list[Path]:
        """The picture, with its settings inside, and the films of the run in whose folder `result` lies."""
        picture, run = expanded(self.outputs.picture), result.parent
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
    """How long the rest will take, said once, when some steps have been timed."""

    LONG, MANY, TIMED = 600.0, 10_000, 2.0

    def __init__(self, steps: int, length: str = "") -> None:
        self.steps, self.length = steps, length
        self._first: tuple[int, float] | None = None
        self._said = False

    @property
    def ahead(self) -> str | None:
        """A sentence before the first step of a run of very many."""
        return f"{self._counted}: how long that takes is said after a few" if self.steps >= self.MANY else None

    @property
    def _counted(self) -> str:
        return f"{self.steps:,} steps" + (f" ({self.length})" if self.length else "")

    def add(self, step: int) -> str | None:
        """A sentence, after the steps of two seconds, where the whole takes long; else None."""
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
            return None
        first_step, since = self._first
        if self._said or step < first_step + 2 or now - since < self.TIMED:
            return None
        self._said = True
        each = (now - since) / (step - first_step)
        if self.steps * each < self.LONG and self.steps < self.MANY:
            return None
        return f"{self._counted} take {spoken(self.steps * each)} here; Ctrl-C ends it and keeps the picture so far"


def spoken(seconds: float) -> str:
    """A duration as a person says it: `about 14 h`, `about 9 min`."""
    for unit, length in (("days", 172_800), ("h", 7200), ("min", 120)):
        if seconds >= length:
            return f"about {seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    return f"about {seconds:.0f} s"


def kept(paths: Iterable[Path]) -> str:
    """Names of files, as a person reads them in a line."""
    return ", ".join(map(str, dict.fromkeys(paths)))
