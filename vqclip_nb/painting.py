"""Painting: a run in progress, one step at a time. `Painting.step` is where a step is made."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqclip_nb import canvases, handover, oom, relay, symmetry
from vqclip_nb.averages import Averages
from vqclip_nb.canvases import Canvas
from vqclip_nb.device import FLOAT32, Precision
from vqclip_nb.errors import PaintWarning, SettingsError
from vqclip_nb.fields import live_fields
from vqclip_nb.frame import Frame
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.images import PictureFile, covering, to_tensor
from vqclip_nb.lowest_loss import LowestLoss
from vqclip_nb.objectives import Term, losses_of, total
from vqclip_nb.optimizers import Optimizer
from vqclip_nb.rng import Draws
from vqclip_nb.schedules import Schedule, tensor_at, whole_at
from vqclip_nb.settings import Settings
from vqclip_nb.step_guard import Evaluation, StepGuard
from vqclip_nb.timeline import Edit


class Painting:
    """A canvas, the terms that guide it, and the steps made so far.

    `build` makes the terms that settings ask for; it is called again when they change. The networks compute in
    `precision`, if the first step in it agrees with float32. `inputs` is the folder of pictures that are named by their
    sha256. `overlay` maps a rendering, (n, 3, H, W), to the same with the kept parts of the start image over it.
    `before_step` is called before each step; a film moves its picture there. `keepsakes` are pictures that are needed
    later in the run, by name. `lr_scale` multiplies the canvas's own step size until the prompt or the canvas changes.
    """

    def __init__(
        self,
        settings: Settings,
        canvas: Canvas,
        build: Callable[[Settings], Sequence[Term]],
        *,
        precision: Precision = FLOAT32,
        inputs: Path | None = None,
        overlay: Callable[[Tensor], Tensor] | None = None,
        before_step: "Callable[[Painting], None] | None" = None,
    ) -> None:
        self.settings, self.build, self.inputs = settings, build, inputs
        self.overlay, self.before_step = overlay, before_step
        self.keepsakes: dict[str, Tensor] = {}
        self.device = canvas.learnable()[0].device
        self.step_count = 0
        self.lr_scale = 1.0
        self.timeline: list[Edit] = []
        self.ahead: deque[Edit] = deque()  # edits to apply later, each at its step
        self.lowest = LowestLoss(settings.variations, self.device)
        self.scores: dict[str, Tensor] = {}  # of the last step: losses of the perceptors of weight 0
        self._put_on(canvas, StepGuard(canvas, precision), settings)
        self._use(build(settings))
        self._pace = cuda_graphs.Pace(self.device)
        canvas.remember()

    def _put_on(self, canvas: Canvas, guard: StepGuard, settings: Settings) -> None:
        """From now on paint on this canvas, with a new optimizer and new averages."""
        self.canvas, self.guard, self.learnable = canvas, guard, canvas.learnable()
        canvas.tiled = settings.seamless
        for parameter in self.learnable:
            parameter.data = parameter.data.contiguous()  # as in a saved state: other strides would round differently
        self.optimizer = Optimizer(settings.optimizer, self.learnable)
        self.averages = Averages(self.learnable, self.step_count)

    def step(self, *, look: bool = False) -> Frame:
        """Make one update. The frame has a picture if it belongs to the film, or with `look`.

        Raises NotANumber when a picture's loss or gradient is not a number; that picture is not changed.
        """
        self._pace.wait()
        if self.before_step:
            self.before_step(self)
        self.guard.settle(self._evaluate)
        image, losses, total = self.guard.within_memory(self._evaluate, self.settings, self.step_count + 1)

        finite = total.isfinite()
        lr = tensor_at(self.settings.lr or self.canvas.lr * self.lr_scale, self.step_count, self._progress, self.device)
        valid = self.optimizer.step(self.lowest.lr(lr, self.settings), finite)
        self.canvas.constrain()
        self.step_count += 1
        if (every := self.tidy_every) and self.step_count % every == 0:
            self._tidy()
        self.averages.take(self.learnable, image.detach(), finite, self.settings.average, self.step_count)
        if LowestLoss.on(self.settings):
            score = torch.stack([*self.scores.values()]).sum(0) if self.scores else total
            self.lowest.see(score, self._shown(image), self.settings, self.step_count)

        return self._report(image, losses, valid, look)

    def _evaluate(self) -> Evaluation:
        """Render the picture, compute its losses, and leave the gradients on the canvas.

        With `accumulate`, losses and gradients are the means of several evaluations, and the picture is the last one.
        """
        count = whole_at(self.settings.accumulate, self.step_count, self._progress)
        draws = Draws(self.settings.seeds, self.step_count, self.device)
        image, losses, totals = self._evaluate_once(draws, count)
        for number in range(2, count + 1):
            image, more_losses, more_totals = self._evaluate_once(draws.of(f"judgement {number}"), count)
            losses, totals = {name: losses[name] + loss for name, loss in more_losses.items()}, totals + more_totals
        self.guard.unscale(self.optimizer)
        if watchers := [term for term in self.terms if term.watches]:
            with torch.no_grad():
                self.scores = losses_of(watchers, image.detach(), draws, self._progress)
        return image, losses, totals

    def _evaluate_once(self, draws: Draws, count: int) -> Evaluation:
        """One of `count` evaluations: losses are divided by `count`, and gradients are added on the canvas."""
        progress = self._progress
        image = self._render(draws)
        guiding = [term for term in self.terms if not term.watches]
        view = symmetry.roll(image, draws) if self.settings.seamless else image
        losses = losses_of(guiding, view, draws, progress) | self.canvas.penalties(progress)
        if count > 1:
            losses = {name: loss / count for name, loss in losses.items()}
        totals = total(losses)  # (n,): the sum of each picture's own losses
        self.guard.backward(totals)
        return image, {name: loss.detach() for name, loss in losses.items()}, totals.detach()

    def _render(self, draws: Draws | None = None) -> Tensor:
        """The canvas's picture, with what an overlay keeps: (n, 3, H, W) RGB in [0, 1]."""
        self.canvas.draws = draws
        image = symmetry.make_symmetric(self.canvas(), self.settings.symmetry)
        return image if self.overlay is None else self.overlay(image)

    def _report(self, image: Tensor, losses: Mapping[str, Tensor], valid: Tensor, look: bool) -> Frame:
        """The step's frame."""
        step, steps = self.step_count, self.settings.steps
        keep = step == steps or self._is_kept(step)
        self.guard.check(step, losses, valid, last=step >= steps)
        if not (look or keep):
            return Frame(step, steps, losses, None, keep, self.scores)
        if step == steps and (self.settings.average or self.tidy_every or self.settings.keep == "best"):
            return Frame(step, steps, losses, self.picture(), keep, self.scores)
        return Frame(step, steps, losses, self._shown(image).clone(), keep, self.scores)

    @property
    def tidy_every(self) -> int:
        """The steps between two re-encodings of the picture, 0: never.

        By default, none while a drawing is refined by small steps: they would blur it.
        """
        refining = self.lr_scale < 1 and self.settings.canvas_options.get("tidy") is None
        return 0 if refining else self.canvas.tidy_every

    def _shown(self, image: Tensor) -> Tensor:
        """The picture that the frame shows: the average, if there is one, or else the rendering."""
        return image.detach() if self.averages.image is None else self.averages.image

    def _is_kept(self, step: int) -> bool:
        """Whether this step's picture is kept: every n-th frame of a film, else every n-th step."""
        every = self.settings.every
        if not self.settings.frame_steps:
            return step == 1 or step % every == 0
        return self.settings.frame_ends(step) and (self.settings.frame_after(step) - 1) % every == 0

    @torch.no_grad()
    def picture(self, size: tuple[int, int] | None = None, *, tidied: bool = True) -> Tensor:
        """The result so far: the best picture with `keep="best"`, else the average, tidied if the canvas tidies.

        (n, 3, H, W) RGB in [0, 1]. `size` is a width and height to render the average at. Raises SettingsError when the
        canvas cannot render at it.
        """
        if self.settings.keep == "best" and self.lowest.image is not None and not size:
            return self.lowest.image.clone()
        latest = [parameter.clone() for parameter in self.learnable]
        average = self.averages.values(self.settings.average, self.step_count) or latest
        for parameter, value in zip(self.learnable, average, strict=True):
            parameter.copy_(value)
        try:
            if size:
                image = symmetry.make_symmetric(self.canvas.render(*size), self.settings.symmetry)
                return image if self.overlay is None else self.overlay(image)
            if self.tidy_every and tidied:
                self._tidy()
            return self._render().clone()
        finally:
            for parameter, value in zip(self.learnable, latest, strict=True):
                parameter.copy_(value)

    def apply(self, change: Edit) -> None:
        """From the next step on: use new settings, paint one variation alone, or continue from another picture.

        With another `canvas` the picture moves to it, at that canvas's step size unless `lr` is given or scheduled.
        Raises SettingsError for a field that cannot change during a run, and PictureError; then nothing is changed.
        """
        new = relay.with_canvas(change.settings, self.settings)
        if fixed_fields := sorted(set(new) - live_fields() - {"tidy", *(relay.FIELDS if "canvas" in new else ())}):
            raise SettingsError(f"{fixed_fields[0]} cannot change while painting; start a new run with it")
        choice: dict[str, Any] = {}
        if (number := change.variation) is not None:
            if not 1 <= number <= self.settings.variations:
                raise SettingsError(f"variation must be from 1 to {self.settings.variations}, got {number}")
            choice = {"seed": self.settings.seeds[number - 1], "variations": 1}
        settings = self.settings.replace(**choice | new)
        file = change.file or (PictureFile.of(change.image, inputs=self.inputs) if change.image else None)
        pil = file.read() if file else None
        canvas = self.canvas if settings.canvas == self.settings.canvas else self.other_canvas(settings)
        terms = self._terms(settings, canvas)
        if number is not None:
            self.canvas.choose(number - 1)
            self.optimizer.choose(number - 1)
            self.averages.choose(number - 1)
            self.lowest = LowestLoss(1, self.device)
            self.keepsakes = {name: picture[number - 1 : number].clone() for name, picture in self.keepsakes.items()}
        if canvas is not self.canvas:
            self._hand_to(canvas, settings)
        self._use(terms)
        if settings.prompt != self.settings.prompt or settings.canvas != self.settings.canvas:
            self.lr_scale = 1.0
        self.lowest = LowestLoss(settings.variations, self.device)  # losses before and after an edit cannot be compared
        self.settings = settings
        self._configure()
        values = {**settings.to_dict(), **settings.canvas_options}
        changes = {name: values[name] for name in new if name in values}
        if pil:
            self.go_on_from(to_tensor(covering(pil, self.settings.size)).to(self.device))
            self.optimizer.reset()
        self.timeline.append(Edit(changes, self.step_count, number, file.name if file else None, file))

    def other_canvas(self, settings: Settings) -> Canvas:
        """The canvas that these settings name. Raises SettingsError where its pictures have another size."""
        return handover.canvas_of(settings, self.canvas, self.device, paints=self.settings.canvas)

    def hand_over(self) -> None:
        """Switch to another canvas, if the relay of the settings begins one at the next step."""
        name = relay.canvas_at(self.settings.relay, self.step_count, self.settings.steps)
        if name and name != self.settings.canvas:
            self.apply(Edit({"canvas": name}))

    def check_relay(self) -> None:
        """Raise now any error that switching to a canvas of the relay would raise during the run."""
        for name in self.settings.canvases[1:]:
            later = self.settings.replace(canvas=name)
            try:
                self._terms(later, self.other_canvas(later))
            finally:
                self.build.canvas = self.canvas  # type: ignore[attr-defined]

    def _hand_to(self, canvas: Canvas, settings: Settings) -> None:
        """Move the picture to another canvas."""
        image = self.picture()
        guard = StepGuard(canvas, self.guard.preferred)
        guard.parts = self.guard.parts
        cuda_graphs.forget()  # the graphs of the previous canvas
        self._put_on(canvas, guard, settings)
        canvas.start_from(image)
        canvas.remember()

    def _terms(self, settings: Settings, canvas: Canvas) -> Sequence[Term]:
        """Build the terms of these settings for this canvas; if that fails, nothing is changed."""
        self.build.canvas = canvas  # type: ignore[attr-defined]
        try:
            return self.build(settings)
        except Exception:
            self.build.canvas = self.canvas  # type: ignore[attr-defined]
            raise

    def replace_image(self, image: str | Path | Image.Image | Tensor) -> None:
        """Continue from this picture at the next step: a file's name, a PIL image, or (1, 3, H, W) RGB in [0, 1].

        It is scaled and cropped to the canvas, the same for every variation. Optimizer and averages are reset, and
        likeness is measured from it. The run stores it as a file of 8 bits a channel, so that resume and replay are
        exact. Raises PictureError; then nothing is changed.
        """
        self.apply(Edit({}, file=PictureFile.of(image, inputs=self.inputs)))

    def go_on_from(self, image: Tensor) -> None:
        """Set the canvas to this picture, (1 or n, 3, H, W) RGB in [0, 1].

        Not recorded in the timeline: use it only for pictures that follow from settings and step. Averages are reset.
        The optimizer's momentum is reset and its squared gradients are kept, so that the frames of a film follow
        smoothly.
        """
        self.canvas.start_from(image)
        self.canvas.remember()
        self.optimizer.forget_directions()
        self.averages = Averages(self.learnable, self.step_count)
        self.lowest = LowestLoss(self.settings.variations, self.device)

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from: `tensors` by name, and `facts` that JSON can hold."""
        return handover.state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned, of the same run, earlier or later."""
        tensors, facts = state["tensors"], state["facts"]
        settings = self.settings.replace(**facts["settings"])
        canvas = self.canvas if settings.canvas == self.settings.canvas else self.other_canvas(settings)
        terms = self._terms(settings, canvas)  # first, since a picture may be missing
        if canvas is not self.canvas:
            canvas.remember()  # `relearn` fills in the remembered start
            self._put_on(canvas, StepGuard(canvas, self.guard.preferred), settings)
        self.canvas.relearn(handover.under("canvas.", tensors))
        self.optimizer.restore(handover.under("optimizer.", tensors), count=facts["optimizer"])
        self.lowest = LowestLoss(settings.variations, self.device)
        if lowest := handover.under("lowest.", tensors):
            self.lowest.restore(lowest)
        self.keepsakes = {name: value.to(self.device) for name, value in handover.under("keepsake.", tensors).items()}
        self.step_count = facts["step"]
        self.lr_scale = min(max(0.0, facts.get("lr_scale", 1.0)), 1.0)
        self.averages.restore(tensors, since=min(max(facts.get("average_from", 0), 0), self.step_count))
        self.timeline = [Edit.from_dict(change) for change in facts["timeline"]]
        self.settings = settings
        self._configure()
        self._use(terms)
        self.guard.restore(parts=facts["parts"], thrifty=facts["thrifty"], precision=facts.get("precision"))

    def peak(self) -> int | None:
        """The peak memory of a step in bytes, measured; None without CUDA, or when memory runs out."""
        step, self.step_count = self.step_count, self._widest_step()
        try:
            return cuda_graphs.peak(self._evaluate, self.device)
        finally:
            self.step_count = step
            self.canvas.zero_grad()

    def _widest_step(self) -> int:
        """The remaining step with the most cutouts."""
        if not isinstance(cutn := self.settings.cutn, Schedule):
            return self.step_count
        steps = range(self.step_count, max(self.settings.steps, self.step_count + 1))
        return max(steps, key=lambda step: cutn.at(step, step / self.settings.steps))

    @property
    def _progress(self) -> float:
        """The share of all steps made so far, in [0, 1]."""
        return self.step_count / self.settings.steps

    @property
    def ended(self) -> bool:
        """Whether painting is over: all steps are made, or the loss has not fallen for `early_stop` steps."""
        return self.step_count >= self.settings.steps or self.lowest.ended(self.settings, self.step_count)

    def _configure(self) -> None:
        """Set the canvas's options from the settings."""
        self.canvas.configure(canvases.spec(self.settings.canvas).options(**self.settings.canvas_options))

    def _use(self, terms: Sequence[Term]) -> None:
        """From now on these terms guide the painting."""
        self.terms, self.scores = terms, {}
        self.guard.watch(terms)

    def _tidy(self) -> None:
        """Re-encode the current image; if memory runs out, warn and leave it as it is."""
        try:
            self.canvas.tidy()
        except (RuntimeError, MemoryError) as error:
            if not oom.ran_out(error):
                raise
            sentence = f"memory is not enough to tidy the picture at step {self.step_count}; it stays as it is"
            warnings.warn(f"{sentence}, as with --tidy 0", PaintWarning, stacklevel=3)


def run(painting: Painting, *, until: int | None = None, look: bool = False) -> Iterator[Frame]:
    """Paint to the end, or until `until` steps are made, and yield one frame per step.

    Edits in `painting.ahead` are applied at their steps. Frames of the film have a picture; with `look` all have one.
    """
    while until is None or painting.step_count < until:
        while painting.ahead and painting.ahead[0].step <= painting.step_count:
            painting.apply(painting.ahead.popleft())
        painting.hand_over()
        if painting.ended:
            return
        yield painting.step(look=look)
