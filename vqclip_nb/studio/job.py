"""A job: a run that paints in a thread and is controlled from others. Independent of widgets and notebooks."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.errors import PictureError, RunError, SettingsError
from vqclip_nb.studio.breaking_off import between_layers
from vqclip_nb.studio.previews import gpu_memory, max_pixels, preview_seconds, previews
from vqclip_nb.studio.problems import explain, in_titles, listening
from vqclip_nb.studio.status import JobStatus

if TYPE_CHECKING:
    from torch import Tensor

    from vqclip_nb.frame import Frame
    from vqclip_nb.session import ActiveRun
    from vqclip_nb.settings import Settings

POINTS = 400  # points of a loss curve in the chart
PATIENCE = 0.5  # seconds after Stop before a computation of which nothing is kept is broken off
BEAT = 0.5  # seconds between two updates of the page: one at each step would take a tenth of a processor


class Stopped(Exception):
    """Raised if Stop was pressed before the first step, or between two attempts at a step."""


class Progress:
    """Receives the progress of `open` while it loads. Each call raises Stopped after Stop was pressed."""

    def __init__(self, job: "Job") -> None:
        self._job = job

    def __call__(self, message: str) -> None:
        """Show what is being loaded."""
        self._job._check_stop()
        self._job._put(message=message)

    def begins(self, settings: "Settings") -> "AbstractContextManager[None]":
        """A new run of these settings begins: `with` it, Stop is heard between two layers of a network."""
        self._job._new = settings
        return between_layers(self._job._check_patience)

    def on_way(self, step: int, steps: int, preview: bytes | None = None) -> None:
        """Show the progress of steps that are painted again: `step` of `steps`, and the saved frame of that step."""
        more: dict[str, Any] = {"previews": (preview,), "preview_step": step} if preview else {}
        self._job._way_to = steps
        self._job._check_stop()
        self._job._put(message=f"Painting the way there again: step {step} of {steps}", step=step, steps=steps, **more)


class Job:
    """One run, from loading to the film.

    start, pause, resume, stop, change and undo return at once; the worker carries them out between two steps. `status`
    is always the newest. open: makes the ActiveRun, in the worker thread. saved: called in the worker after each save,
    with the run's folder. before: the status of the last job, which is restored if this job ends without a run.
    """

    def __init__(
        self,
        open: Callable[[Progress], "ActiveRun"],
        *,
        paused: bool = False,
        saved: Callable[[Path], object] = lambda folder: None,
        before: JobStatus | None = None,
    ) -> None:
        self._before = before or JobStatus()
        self.status = JobStatus(revision=self._before.revision)
        self._open, self._saved = open, saved
        self._orders: deque[Callable[[ActiveRun], None]] = deque()
        self._wake = threading.Condition()
        self._urgent = threading.Event()
        self._way_to = 0  # the target step while steps are painted again
        self._paused, self._stopping, self._revised = paused, False, False
        self._stopped_at = 0.0
        self._new: Settings | None = None  # of a new run
        self._losses: dict[str, list[tuple[int, float]]] = {}
        self._unread: list[tuple[int, Mapping[str, Tensor]]] = []  # steps whose losses are still on the device
        self._thread = threading.Thread(target=self._work, name="vqclip-job", daemon=True)

    def start(self) -> "Job":
        """Begin."""
        self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        """Whether the worker thread is running."""
        return not self.status.ended

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end. Returns whether the job has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def wait_for_change(self) -> None:
        """Wait for a beat, or until there is urgent news."""
        self._urgent.wait(BEAT)
        self._urgent.clear()

    def pause(self) -> None:
        """Pause after the current step."""
        self._put(message="Pausing after this step")
        self._order(paused=True)

    def resume(self) -> None:
        """End a pause."""
        self._order(paused=False)

    def stop(self) -> None:
        """End after the current step, and keep everything."""
        if self.alive:
            self._put(message="Stopping after this step" if self.status.step else "Stopping")
        self._order(stopping=True)

    def change(self, changes: Mapping[str, Any], *, pick: int | None = None) -> None:
        """Change settings from the next step on. pick: continue with that one of several pictures alone, from 1.

        The state is saved first, so that Undo works. A change that is not possible becomes a note.
        """
        from vqclip_nb.timeline import Edit

        def order(active: "ActiveRun") -> None:
            now = active.painting.settings
            new = {name: value for name, value in changes.items() if now.value(name) != value}
            if new or pick is not None:
                if active.painting.step_count not in active.record.saved_steps:
                    active.record.save(active.painting)
                active.painting.apply(Edit(new, variation=pick))
                if pick is not None:
                    self._show(active.painting.picture(), active.painting.step_count)
                    self._revised = True
                settings = active.painting.settings
                self._put(settings=settings, steps=settings.steps)

        self._order(order)

    def undo(self) -> None:
        """Go back to before the last change, or to the last earlier state, and pause."""

        def order(active: "ActiveRun") -> None:
            now, timeline = active.painting.step_count, active.painting.timeline
            changed_at = timeline[-1].step if timeline else -1
            saved_steps = [step for step in active.record.saved_steps if step < now or step == now == changed_at]
            if not saved_steps:
                self._note("There is nothing to undo yet: no earlier state is kept.")
                return
            self._read_losses()
            active.record.rewind(active.painting, changed_at if changed_at in saved_steps[-2:] else saved_steps[-1])
            step = active.painting.step_count
            self._losses = {name: [p for p in points if p[0] <= step] for name, points in self._losses.items()}
            self._show(active.painting.picture(), step)
            self._revised = True
            self._put(step=step, settings=active.painting.settings, losses=self._thinned())

        self._order(order, paused=True)

    def _order(
        self,
        order: "Callable[[ActiveRun], None] | None" = None,
        *,
        paused: bool | None = None,
        stopping: bool = False,
    ) -> None:
        with self._wake:
            if order:
                self._orders.append(order)
            if paused is not None:
                self._paused = paused
            if stopping and not self._stopping:
                self._stopping, self._stopped_at = True, time.monotonic()
            self._wake.notify()

    def _work(self) -> None:
        with listening(self._warned):
            active = None
            try:
                active = self._open(Progress(self))
                self._paint(active)
                self._finish(active)
            except Stopped:
                self._stopped_early(active)
            except Exception as error:
                self._fail(error, active)

    def _check_stop(self) -> None:
        if self._stopping:
            raise Stopped

    def _check_patience(self) -> None:
        if self._stopping and time.monotonic() - self._stopped_at > PATIENCE:
            raise Stopped

    def _warned(self, text: str) -> None:
        """Add a warning of the run as a note. Stop takes effect here between two attempts at a step."""
        note = in_titles(text)
        self._note(note)
        if self.status.state == "painting":
            if text.startswith("memory ran out"):
                self._put(message=note)
            self._check_stop()

    def _paint(self, active: "ActiveRun") -> None:
        painting, first = active.painting, active.painting.step_count
        self._put(memory=gpu_memory(painting.device), max_pixels=max_pixels(painting), first_step=first)
        self._revised = True
        self._obey(active)  # apply changes that were made while the models loaded
        if not self._stopping:
            self._put(state="painting", message=f"Making step {first + 1}, which takes longer than the others")
        pace, shown_at, saved_at, states = Pace(), 0.0, 0.0, active.record.saved_steps
        if first:
            self._show(painting.picture(), first)
        self._hold(active)
        for frame in self._frames(active):
            pace.step()
            self._unread.append((frame.step, frame.losses))
            now = time.monotonic()
            wait = preview_seconds(pace.elapsed) * (
                1 if frame.image is not None else 4
            )  # without an image, a preview needs a decode
            if now - shown_at > wait or frame.step in (1, frame.steps):
                self._show(frame.image if frame.image is not None else painting.picture(), frame.step)
                self._put(losses=self._thinned(), memory=gpu_memory(painting.device))
                shown_at = now
            progress = {"step": frame.step, "steps": active.until or frame.steps, "speed": pace.speed}
            self._put(state="painting", message="Stopping" if self._stopping else "Painting", **progress)
            if active.record.saved_steps != states or now - saved_at > 60:
                states, saved_at = active.record.saved_steps, now
                self._saved(active.record.folder.absolute())
            self._hold(active, pace)
            if self._stopping:
                break
        if self._stopping and not painting.step_count:
            raise Stopped

    def _frames(self, active: "ActiveRun") -> "Iterator[Frame]":
        """The frames of the run, none if it was stopped. Stop breaks the first step off: nothing is kept without."""
        painting = active.painting

        def check() -> None:
            if not painting.step_count:
                self._check_patience()

        with ExitStack() as first_step:
            if not painting.step_count:
                first_step.enter_context(between_layers(check))
            for frame in active if not self._stopping else ():
                first_step.close()
                yield frame

    def _hold(self, active: "ActiveRun", pace: "Pace | None" = None) -> None:
        """Carry out the waiting orders, and wait during a pause."""
        while True:
            self._obey(active)
            with self._wake:
                if self._orders:
                    continue
                if self._stopping or not self._paused:
                    break
                self._put(state="paused", message="Paused", losses=self._thinned())
                self._wake.wait()
        if self.status.state == "paused":
            self._put(state="painting", message="Painting")
        if pace:
            pace.mark()

    def _obey(self, active: "ActiveRun") -> None:
        """Carry out the waiting orders. The revision is raised last, because later changes are already in the form."""
        while self._orders:
            order = self._orders.popleft()
            try:
                order(active)
            except (SettingsError, PictureError, RunError) as error:
                self._note(in_titles(str(error)))
        if self._revised:
            self._revised = False
            self._put(**_standing(active), revision=self.status.revision + 1)

    def _finish(self, active: "ActiveRun") -> None:
        self._put(state="finishing", message="Saving the picture and its film", losses=self._thinned())
        if active.record.latest is None or active.record.latest.step != active.painting.step_count:
            self._show(active.painting.picture(), active.painting.step_count)
        active.record.finish(active.painting)
        self._saved(active.record.folder.absolute())
        step = active.painting.step_count
        complete = active.painting.ended
        stopped = f"Stopped at step {step}; everything is kept" if step else "Stopped before the first step"
        self._end(active, state="done" if complete else "stopped", message="Done" if complete else stopped)

    def _stopped_early(self, active: "ActiveRun | None") -> None:
        """End after Stop while loading, or between two attempts at a step. Saves a picture only if a step was made."""
        if active and active.painting.step_count:
            try:
                self._finish(active)
            except Exception as error:
                self._fail(error, active)
            return
        if active:
            active.record.close()
        has_picture = self._before.step and not active
        place = f"on the way to step {self._way_to}" if self._way_to else "while loading"
        message = f"Stopped {place}; the last run is as it was" if has_picture else "Stopped before the first step"
        self._end(active, state="stopped", message=message)

    def _fail(self, error: Exception, active: "ActiveRun | None") -> None:
        """Save what there is, and show the error."""
        problem = explain(error, active.painting.settings if active else self._new)
        if active and active.painting.step_count:
            try:
                active.record.finish(active.painting)
            except Exception as second:
                problem = replace(problem, details=f"{problem.details}\n{second}")
        elif active:
            active.record.close()
        message = problem.title
        if not active and not problem.begun:
            message = "The run could not begin" + ("; the last one is as it was" if self._before.step else "")
        elif not active and self._new:
            self._before = JobStatus(settings=self._new, steps=self._new.steps)
        self._end(active, state="failed", message=message, problem=problem)

    def _end(self, active: "ActiveRun | None", **changes: Any) -> None:
        """Set the last status: that of the run, or of the last job if no run was opened, so that it can continue."""
        known = _standing(active) if active else vars(self._before) | {"revision": self.status.revision}
        self._put(**known | {"notes": self.status.notes, "problem": None} | changes)

    def _read_losses(self) -> None:
        """Copy the losses of the last steps from the device. This waits for the device; called once a preview."""
        for step, losses in self._unread:
            for name, loss in losses.items():
                points = self._losses.setdefault(name, [])
                points.append((step, float(loss.mean())))
                if len(points) > 2 * POINTS:
                    del points[1:-1:2]
        self._unread = []

    def _thinned(self) -> dict[str, tuple[tuple[int, float], ...]]:
        self._read_losses()
        return {name: tuple(points[:: 1 + len(points) // POINTS]) for name, points in self._losses.items()}

    def _show(self, image: "Tensor", step: int) -> None:
        self._put(previews=previews(image), preview_step=step)

    def _note(self, text: str) -> None:
        """Add a note. It replaces an earlier note with the same beginning, up to the first number or colon."""
        begins = _beginning(text)
        self._put(notes=(*(note for note in self.status.notes if _beginning(note) != begins), text)[-5:])

    def _put(self, **changes: Any) -> None:
        with self._wake:
            before, self.status = self.status, replace(self.status, **changes)
        if self.status.urgent(before):
            self._urgent.set()


class Pace:
    """Steps per second, smoothed, without pauses."""

    def __init__(self) -> None:
        self.speed, self.elapsed, self._last = 0.0, 0.0, 0.0

    def step(self) -> None:
        """Count a step."""
        if self._last:  # the first step is slower, because it warms up the device
            took = max(time.monotonic() - self._last, 1e-6)
            self.elapsed += took
            self.speed = 1 / took if not self.speed else 1 / (0.8 / self.speed + 0.2 * took)
        self.mark()

    def mark(self) -> None:
        """Measure from now."""
        self._last = time.monotonic()


def _standing(active: "ActiveRun") -> dict[str, Any]:
    """The state of a run as fields of JobStatus."""
    painting, folder = active.painting, active.record.folder.absolute()
    steps = active.until or painting.settings.steps
    return {"folder": folder, "settings": painting.settings, "step": painting.step_count, "steps": steps}


def _beginning(note: str) -> str:
    return note[: next((i for i, letter in enumerate(note) if letter in "0123456789:"), len(note))]
