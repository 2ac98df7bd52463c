"""Jobs: a run that paints in a thread of its own, steered from any other. Knows no widgets and no notebook."""

import re
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.errors import NotANumber, OutOfMemory, PaintWarning, PictureError, RunError, SettingsError
from vqclip_nb.images import first_line
from vqclip_nb.schedules import scaled

if TYPE_CHECKING:
    from torch import Tensor

    from vqclip_nb.session import ActiveRun
    from vqclip_nb.settings import Settings

TERMINAL_STATES = ("done", "stopped", "failed")  # states in which nothing goes on any more
CURVE = 400  # points of a loss that are kept for a chart
PREVIEW_SIDE, PREVIEW_BYTES = 512, 100_000  # the longest side, and the most that a preview takes
QUALITIES = (85, 70, 50, 30)  # of a preview, best first: noise takes more than a painting does
BEAT = 0.5  # seconds between two looks at the news: a page that is redrawn at each step takes a tenth of a processor
PRESSING = ("state", "said", "turned", "notes", "trouble")  # what is shown at once
Report = Callable[[str], None]


@dataclass(frozen=True)
class Trouble:
    """What went wrong, in a sentence; `remedy` are settings that may help, `details` is for those who want to know."""

    said: str
    details: str = ""
    remedy: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class JobStatus:
    """What is known of a job now. A new object at every change, so that a reader never sees half of one.

    state: loading, painting, paused, finishing, done, stopped or failed. previews: each picture as JPEG, as of step
    `shown`. curve: by the name of a loss, (step, mean over the pictures) thinned to CURVE points. speed: steps per
    second, nought before it is known. memory: (used, whole) bytes of the GPU, or None. room: the pixels of the largest
    picture that the GPU holds, by the measure of one step, or None. folder: of the run. turned: counts how often the
    settings came from elsewhere than from `steer`: at the opening, by `undo`, by a picture picked; a job counts on from
    the one before.
    """

    state: str = "loading"
    said: str = "Getting ready"
    step: int = 0
    steps: int = 0
    begun_at: int = 0
    speed: float = 0.0
    shown: int = 0
    previews: tuple[bytes, ...] = ()
    curve: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    memory: tuple[int, int] | None = None
    room: float | None = None
    folder: Path | None = None
    settings: "Settings | None" = None
    turned: int = 0
    notes: tuple[str, ...] = ()
    trouble: Trouble | None = None

    @property
    def complete(self) -> bool:
        """Whether no step is left to make."""
        return self.step >= self.steps

    @property
    def seconds_left(self) -> float | None:
        """How long it still takes, or None before that is known."""
        return (self.steps - self.step) / self.speed if self.speed else None

    def presses(self, before: "JobStatus | None") -> bool:
        """Whether something is new against `before` that should not wait for the next beat."""
        return before is None or any(getattr(self, name) != getattr(before, name) for name in PRESSING)


class Job:
    """One run, from loading to the film. `open` makes the Sitting, in the worker; it may tell what it is doing.

    start, pause, go_on, stop, steer, pick and undo return at once; the worker hears them between two steps.
    `news` is always the newest. `saved` is called in the worker after each save, with the run's folder. `before` is
    what was known of the last run: it stands again where this job ends without a run of its own.
    """

    def __init__(
        self,
        open: Callable[[Report], "ActiveRun"],
        *,
        paused: bool = False,
        saved: Callable[[Path], object] = lambda folder: None,
        before: JobStatus | None = None,
    ) -> None:
        self._before = before or JobStatus()
        self.news = JobStatus(turned=self._before.turned)
        self._open, self._saved = open, saved
        self._orders: deque[Callable[[ActiveRun], None]] = deque()
        self._wake = threading.Condition()
        self._pressing = threading.Event()
        self._paused, self._stopping, self._turned = paused, False, False
        self._curve: dict[str, list[tuple[int, float]]] = {}
        self._unread: list[tuple[int, Mapping[str, Tensor]]] = []  # steps whose losses are still on the device
        self._thread = threading.Thread(target=self._work, name="vqclip-job", daemon=True)

    def start(self) -> "Job":
        """Begin."""
        self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        """Whether anything still goes on."""
        return self.news.state not in TERMINAL_STATES

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def wait_for_news(self) -> None:
        """Wait for a beat, or until something is new that should not wait for it."""
        self._pressing.wait(BEAT)
        self._pressing.clear()

    def pause(self) -> None:
        """Hold after the step that is being made."""
        self._put(said="Pausing after this step")
        self._tell(paused=True)

    def go_on(self) -> None:
        """End a pause."""
        self._tell(paused=False)

    def stop(self) -> None:
        """End after the step that is being made, and keep everything."""
        if self.alive:
            self._put(said="Stopping after this step")
        self._tell(stopping=True)

    def steer(self, changes: Mapping[str, Any], *, pick: int | None = None) -> None:
        """Change settings from the next step on; with `pick`, paint that picture of several, from 1, alone.

        The state before is kept, so that it can be undone. What cannot be becomes a note.
        """
        from vqclip_nb.timeline import Edit

        def change(active: "ActiveRun") -> None:
            now = active.painting.settings
            new = {name: value for name, value in changes.items() if getattr(now, name) != value}
            if new or pick is not None:
                if active.painting.step_count not in active.record.kept:
                    active.record.save(active.painting)
                active.painting.apply(Edit(new, variation=pick))
                if pick is not None:
                    self._show(active.painting.picture(), active.painting.step_count)
                    self._turned = True
                settings = active.painting.settings
                self._put(settings=settings, steps=settings.steps)

        self._tell(order=change)

    def undo(self) -> None:
        """Take the picture back to before the last change, or to the last state kept before now, and hold."""

        def undo(active: "ActiveRun") -> None:
            now, timeline = active.painting.step_count, active.painting.timeline
            changed_at = timeline[-1].step if timeline else -1
            kept = [step for step in active.record.kept if step < now or step == now == changed_at]
            if not kept:
                self._note("There is nothing to undo yet: no earlier state is kept.")
                return
            self._read_losses()
            active.record.rewind(active.painting, changed_at if changed_at in kept[-2:] else kept[-1])
            step = active.painting.step_count
            self._curve = {name: [p for p in points if p[0] <= step] for name, points in self._curve.items()}
            self._show(active.painting.picture(), step)
            self._turned = True
            self._put(step=step, settings=active.painting.settings, curve=self._thinned())

        self._tell(order=undo, paused=True)

    def _tell(self, *, order: Any = None, paused: bool | None = None, stopping: bool = False) -> None:
        with self._wake:
            if order:
                self._orders.append(order)
            if paused is not None:
                self._paused = paused
            self._stopping |= stopping
            self._wake.notify()

    def _work(self) -> None:
        with _listening(self._note):
            active = None
            try:
                active = self._open(self._loading)
                self._paint(active)
                self._finish(active)
            except _Stopped:
                seen = self._before.step
                said = "Stopped while loading; the last run is as it was" if seen else "Stopped before the first step"
                self._end(None, state="stopped", said=said)
            except Exception as error:
                self._fail(error, active)

    def _loading(self, said: str) -> None:
        """Tell what is being loaded; a Stop is heard here, too."""
        if self._stopping:
            raise _Stopped
        self._put(said=said)

    def _paint(self, active: "ActiveRun") -> None:
        painting, begun = active.painting, active.painting.step_count
        self._put(memory=_memory(painting.device), room=_room(painting), begun_at=begun)
        self._turned = True
        self._obey(active)  # what was changed while the models were loaded stands in the form already
        pace, shown_at, saved_at, states = _Pace(), 0.0, 0.0, active.record.kept
        if begun:
            self._show(painting.picture(), begun)
        self._hear(active)
        for frame in active if not self._stopping else ():
            pace.step()
            self._unread.append((frame.step, frame.losses))
            now = time.monotonic()
            wait = _preview_seconds(pace.elapsed) * (
                1 if frame.image is not None else 4
            )  # else it is rendered for this
            if now - shown_at > wait or frame.step in (1, frame.steps):
                self._show(frame.image if frame.image is not None else painting.picture(), frame.step)
                self._put(curve=self._thinned(), memory=_memory(painting.device))
                shown_at = now
            told = {"step": frame.step, "steps": active.until or frame.steps, "speed": pace.speed}
            self._put(state="painting", said="Painting", **told)
            if active.record.kept != states or now - saved_at > 60:
                states, saved_at = active.record.kept, now
                self._saved(active.record.folder.absolute())
            self._hear(active, pace)
            if self._stopping:
                break

    def _hear(self, active: "ActiveRun", pace: "_Pace | None" = None) -> None:
        """Follow the orders that came, and hold while there is a pause."""
        while True:
            self._obey(active)
            with self._wake:
                if self._orders:
                    continue
                if self._stopping or not self._paused:
                    break
                self._put(state="paused", said="Paused", curve=self._thinned())
                self._wake.wait()
        if self.news.state == "paused":
            self._put(state="painting", said="Painting")
        if pace:
            pace.mark()

    def _obey(self, active: "ActiveRun") -> None:
        """Follow the orders that came. That settings turned is told at the end: what came later is in the form."""
        while self._orders:
            order = self._orders.popleft()
            try:
                order(active)
            except (SettingsError, PictureError, RunError) as error:
                self._note(str(error))
        if self._turned:
            self._turned = False
            self._put(**_standing(active), turned=self.news.turned + 1)

    def _finish(self, active: "ActiveRun") -> None:
        self._put(state="finishing", said="Saving the picture and its film", curve=self._thinned())
        if active.record.latest is None or active.record.latest.step != active.painting.step_count:
            self._show(active.painting.picture(), active.painting.step_count)
        active.record.finish(active.painting)
        self._saved(active.record.folder.absolute())
        step = active.painting.step_count
        done = step >= active.painting.settings.steps
        stopped = f"Stopped at step {step}; everything is kept" if step else "Stopped before the first step"
        self._end(active, state="done" if done else "stopped", said="Done" if done else stopped)

    def _fail(self, error: Exception, active: "ActiveRun | None") -> None:
        """Keep what there is, and say what happened."""
        trouble = explain(error, active.painting.settings if active else None)
        if active:
            try:
                active.record.finish(active.painting)
            except Exception as second:
                trouble = replace(trouble, details=f"{trouble.details}\n{second}")
        self._end(active, state="failed", said="Something went wrong", trouble=trouble)

    def _end(self, active: "ActiveRun | None", **told: Any) -> None:
        """The last news: of the run, or, where none was opened, of the one before, which can be gone on with."""
        known = _standing(active) if active else vars(self._before)
        self._put(**known | {"notes": self.news.notes, "trouble": None} | told)

    def _read_losses(self) -> None:
        """Bring the losses of the last steps from the device, which waits for it: once a preview, not once a step."""
        for step, losses in self._unread:
            for name, loss in losses.items():
                points = self._curve.setdefault(name, [])
                points.append((step, float(loss.mean())))
                if len(points) > 2 * CURVE:
                    del points[1:-1:2]
        self._unread = []

    def _thinned(self) -> dict[str, tuple[tuple[int, float], ...]]:
        self._read_losses()
        return {name: tuple(points[:: 1 + len(points) // CURVE]) for name, points in self._curve.items()}

    def _show(self, image: "Tensor", step: int) -> None:
        side = PREVIEW_SIDE if len(image) == 1 else max(192, PREVIEW_SIDE // round(len(image) ** 0.5))
        self._put(previews=tuple(_jpeg(pil, side) for pil in _pils(image)), shown=step)

    def _note(self, said: str) -> None:
        self._put(notes=(*(note for note in self.news.notes if note != said), said)[-5:])

    def _put(self, **changes: Any) -> None:
        with self._wake:
            before, self.news = self.news, replace(self.news, **changes)
        if self.news.presses(before):
            self._pressing.set()


def _standing(active: "ActiveRun") -> dict[str, Any]:
    """Where a run stands, as News has it."""
    painting, folder = active.painting, active.record.folder.absolute()
    steps = active.until or painting.settings.steps
    return {"folder": folder, "settings": painting.settings, "step": painting.step_count, "steps": steps}


def fetch_models(settings: "Settings", tell: Report) -> None:
    """Fetch what the settings name and is not on the disk yet, telling how far it is. Raises CannotFetch."""
    from vqclip_nb import models

    for entry in models.chosen(settings.canvas, settings.perceptor):
        if not entry.on_disk:
            models.fetch(entry, report=lambda progress: tell(_fetching(progress)))


def _fetching(progress: Any) -> str:
    whole = f" of {progress.total / 1e6:,.0f}" if progress.total else ""
    return progress.note or f"Fetching {progress.name}: {progress.done / 1e6:,.0f}{whole} MB"


def explain(error: BaseException, settings: "Settings | None" = None) -> Trouble:
    """An error as a sentence, with settings that may help where there are any."""
    from vqclip_nb.models import BrokenWeights, CannotFetch, UnknownModel

    details = "".join(traceback.format_exception(error))
    remedy: dict[str, Any] = {}
    if isinstance(error, OutOfMemory) or "out of memory" in str(error).lower():
        if settings:
            remedy = {"size": tuple(max(16, side * 3 // 4 // 16 * 16) for side in settings.size)}
        return Trouble(_in_titles(f"The memory is not enough for this size. {first_line(error)}"), details, remedy)
    if isinstance(error, NotANumber):
        remedy = {"lr": scaled(settings.lr or 0.1, 0.5)} if settings else {}
        return Trouble(f"The painting ran away: {error}. The picture before it is kept.", details, remedy)
    expected = (SettingsError, PictureError, RunError, CannotFetch, BrokenWeights, UnknownModel)
    if isinstance(error, expected):
        return Trouble(_in_titles(str(error)), details)
    return Trouble(f"This should not have happened: {first_line(error)}", details)


def _in_titles(said: str) -> str:
    """A sentence made for the command line, its flags by the names that the form has for them."""
    from vqclip_nb.fields import fields

    titles = {"--" + field.name.replace("_", "-"): field.title for field in fields()}
    return re.sub(r"--[a-z-]+", lambda flag: titles.get(flag[0]) or flag[0], said)


class _Stopped(Exception):
    """A Stop that came before the first step."""


class _Pace:
    """Steps per second, smoothed; a pause does not count."""

    def __init__(self) -> None:
        self.speed, self.elapsed, self._last = 0.0, 0.0, 0.0

    def step(self) -> None:
        if self._last:  # the first step also warms the device up, and says little of the others
            took = max(time.monotonic() - self._last, 1e-6)
            self.elapsed += took
            self.speed = 1 / took if not self.speed else 1 / (0.8 / self.speed + 0.2 * took)
        self.mark()

    def mark(self) -> None:
        self._last = time.monotonic()


def _preview_seconds(elapsed: float) -> float:
    """How long to wait between previews: a server keeps all of them in memory while nobody looks."""
    return 0.5 if elapsed < 60 else 2.0 if elapsed < 600 else 5.0


def _pils(image: "Tensor") -> list[Any]:
    from vqclip_nb import images

    return images.to_pils(image)


def _jpeg(pil: Any, side: int) -> bytes:
    import io

    pil.thumbnail((side, side))
    data = b""
    for quality in QUALITIES:
        file = io.BytesIO()
        pil.save(file, "JPEG", quality=quality)
        data = file.getvalue()
        if len(data) < PREVIEW_BYTES:
            break
    return data


def _memory(device: Any) -> tuple[int, int] | None:
    if device.type != "cuda":
        return None
    import torch

    free, whole = torch.cuda.mem_get_info(device)
    return whole - free, whole


def _room(painting: Any) -> float | None:
    """The pixels that a GPU has memory for, since what a step takes grows with them."""
    if not (memory := _memory(painting.device)):
        return None
    width, height = painting.settings.size
    used = painting.peak()
    return width * height * (memory[1] - memory[0]) / used if used else None


class _listening:
    """Hears the PaintWarnings of the thread it is entered in; all others go where they went."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self.hear, self.thread = hear, threading.get_ident()

    def __enter__(self) -> None:
        _ears[self.thread] = self.hear
        warnings.simplefilter("always", PaintWarning)  # else what was said of the last run would not be said of this
        if not getattr(warnings.showwarning, "vqclip", False):
            warnings.showwarning = _divert(warnings.showwarning)

    def __exit__(self, *error: object) -> None:
        _ears.pop(self.thread, None)


_ears: dict[int, Callable[[str], None]] = {}


def _divert(show: Callable[..., Any]) -> Callable[..., Any]:
    def diverted(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        ear = _ears.get(threading.get_ident())
        if ear and issubclass(category, PaintWarning):
            ear(str(message))
        else:
            show(message, category, *rest, **more)

    diverted.vqclip = True  # type: ignore[attr-defined]
    return diverted
