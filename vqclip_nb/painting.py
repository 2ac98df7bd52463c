"""Painting: a run in progress, one step at a time. The one thing that changes, is steered, saved and resumed."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vqclip_nb import canvases, device, oom
from vqclip_nb.canvases import Canvas
from vqclip_nb.device import FLOAT32, Precision
from vqclip_nb.errors import NotANumber, OutOfMemory, PaintWarning, SettingsError
from vqclip_nb.fields import live_fields
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.objectives import Objective
from vqclip_nb.optimizers import Optimizer
from vqclip_nb.rng import Draws
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit


@dataclass(frozen=True)
class Frame:
    """What one step saw. `image` is a copy of its own, or None where nobody will look.

    step: from 1 to steps. losses: by name, each (n,), on the device. image: (n, 3, H, W) RGB in [0, 1], the average of
    the pictures that were judged so far; of the last step, which is the result, what `Painting.picture` then renders.
    kept: whether this frame belongs to the film.
    """

    step: int
    steps: int
    losses: Mapping[str, Tensor] = field(repr=False)
    image: Tensor | None = field(default=None, repr=False)
    kept: bool = False

    @property
    def loss(self) -> float:
        """The sum of the losses, averaged over the pictures. Waits for the device."""
        return float(torch.stack([loss.mean() for loss in self.losses.values()]).sum())


class Painting:
    """A canvas, what pulls at it, and how far it has come.

    `build` makes the objectives that settings ask for; it is called again when they change. The networks compute in
    `precision`, if the first step in it agrees with float32; all else is float32 in any case.
    """

    def __init__(
        self,
        settings: Settings,
        canvas: Canvas,
        build: Callable[[Settings], Sequence[Objective]],
        *,
        precision: Precision = FLOAT32,
    ) -> None:
        self.settings, self.canvas, self.build = settings, canvas, build
        self.learnable = canvas.learnable()
        for parameter in self.learnable:
            parameter.data = parameter.data.contiguous()  # as a state gives it back: other strides round otherwise
        self.device = self.learnable[0].device
        self.step_count = 0
        self.parts = 1  # micro-batches that the cutouts are judged in
        self.timeline: list[Edit] = []
        self.ahead: deque[Edit] = deque()  # changes that are still to be made, each at its step
        self.objectives = self._pulls(settings)
        self._compute_in(precision)
        self._wanted, self._settled = precision, precision == FLOAT32
        self.optimizer = Optimizer(settings.optimizer, self.learnable)
        self.averages = [torch.zeros_like(parameter) for parameter in self.learnable]
        self.shown: Tensor | None = None  # the average of the pictures judged, where it is not the last one alone
        self._pace = cuda_graphs.Pace(self.device)
        self._unchecked: deque[tuple[int, Mapping[str, Tensor], Callable[[], Tensor]]] = deque()
        canvas.remember()

    def step(self, *, look: bool = False) -> Frame:
        """One update. The frame carries a picture when it is kept, or when somebody wants to `look`.

        Raises NotANumber when a picture's loss or gradient is not a number: that picture then stays as it was.
        """
        self._pace.wait()
        if not self._settled:
            self._settle()
        image, losses, total = self._within_memory()

        judged = total.isfinite()
        sound = self.optimizer.step(self.settings.lr or self.canvas.lr, judged)
        self.canvas.constrain()
        self.step_count += 1
        if (every := self.canvas.tidy_every) and self.step_count % every == 0:
            self._tidy()
        self._average(image.detach(), judged)

        return self._report(image, losses, sound, look)

    def _judge(self) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Render the picture, judge it, and leave the gradients on the canvas."""
        progress = self.step_count / self.settings.steps
        image = self.canvas()
        draws = Draws(self.settings.seeds, self.step_count, self.device)
        losses: dict[str, Tensor] = {}
        for judge in self.objectives:
            for name, loss in judge(image, draws, progress).items():  # several perceptors may pull to the same text
                losses[name] = losses[name] + loss if name in losses else loss
        losses |= self.canvas.penalties(progress)
        total = torch.stack(list(losses.values())).sum(0)  # (n,): each picture is alone with its losses
        self.scaler.scale(total.sum()).backward()
        self.scaler.unscale_(self.optimizer)  # type: ignore[arg-type]
        self.scaler.update()
        return image, losses, total

    @torch.no_grad()
    def picture(self) -> Tensor:
        """The picture as it is now (the average, tidied, where these are asked for): (n, 3, H, W) RGB in [0, 1]."""
        decay = self.settings.average
        latest = [parameter.clone() for parameter in self.learnable]
        if decay and self.step_count:
            for parameter, average in zip(self.learnable, self.averages, strict=True):
                parameter.copy_(average / (1 - decay**self.step_count))
        try:
            if self.canvas.tidy_every:
                self._tidy()
            return self.canvas().clone()
        finally:
            for parameter, value in zip(self.learnable, latest, strict=True):
                parameter.copy_(value)

    def apply(self, change: Edit) -> None:
        """Take new settings from the next step on, and, where one is picked, paint that picture alone.

        Raises SettingsError for what cannot change in mid-run, and then changes nothing.
        """
        if fixed := sorted(set(change.settings) - live_fields(self.settings) - {"tidy"}):
            raise SettingsError(f"{fixed[0]} cannot change while painting; start a new run with it")
        picked: dict[str, Any] = {}
        if (number := change.variation) is not None:
            if not 1 <= number <= self.settings.variations:
                raise SettingsError(f"variation must be from 1 to {self.settings.variations}, got {number}")
            picked = {"seed": self.settings.seeds[number - 1], "variations": 1}
        settings = self.settings.replace(**picked | dict(change.settings))
        self.objectives = self._pulls(settings)
        if number is not None:
            self.canvas.choose(number - 1)
            self.optimizer.choose(number - 1)
            self.averages = [average[number - 1 : number].clone() for average in self.averages]
            self.shown = None if self.shown is None else self.shown[number - 1 : number].clone()
        self.settings = settings
        self._configure()
        written = {**settings.to_dict(), **settings.canvas_options}
        changes = {name: written[name] for name in change.settings if name in written}
        self.timeline.append(Edit(changes, self.step_count, number))

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on from here: `tensors` by name, and `facts` that JSON can hold."""
        tensors = {f"canvas.{name}": value for name, value in self.canvas.learned().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        tensors |= {f"average.{index}": value for index, value in enumerate(self.averages)}
        tensors |= {} if self.shown is None else {"shown": self.shown}
        facts = {
            "step": self.step_count,
            "optimizer": self.optimizer.count,
            "parts": self.parts,
            "thrifty": self.canvas.thrifty,
            "precision": self.canvas.precision.name if self._settled else None,
            "settings": self.settings.to_dict(),
            "timeline": [change.to_dict() for change in self.timeline],
        }
        return {"tensors": {name: _own(value) for name, value in tensors.items()}, "facts": facts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave, of a painting on the same canvas, earlier or later in its run."""
        tensors, facts = state["tensors"], state["facts"]
        settings, self.parts = self.settings.replace(**facts["settings"]), facts["parts"]
        objectives = self._pulls(settings)  # first, since a given picture may be missing
        self.canvas.relearn(_under("canvas.", tensors))
        self.optimizer.restore(_under("optimizer.", tensors), count=facts["optimizer"])
        self.averages = [tensors[f"average.{index}"].to(self.device, copy=True) for index in range(len(self.averages))]
        self.shown = tensors["shown"].to(self.device, copy=True) if "shown" in tensors else None
        self.step_count = facts["step"]
        if facts["thrifty"]:
            self.canvas.save_memory()
        self.timeline = [Edit.from_dict(change) for change in facts["timeline"]]
        self.settings, self.objectives = settings, objectives
        self._configure()
        known = {each.name: each for each in (FLOAT32, self._wanted) if not each.scaled}  # a scale is found by a trial
        if settled := known.get(facts.get("precision")):
            self._compute_in(settled)
            self._settled = True

    def peak(self) -> int | None:
        """The bytes that a step takes at most, measured on a CUDA device; None when they are not there."""
        used = cuda_graphs.peak(self._judge, self.device)
        self.canvas.zero_grad()
        return used

    def _pulls(self, settings: Settings) -> Sequence[Objective]:
        """The objectives that settings ask for, judging in as many parts as memory needs."""
        pulls = self.build(settings)
        for pull in pulls:
            pull.parts, pull.precision = self.parts, self.canvas.precision
        return pulls

    def _configure(self) -> None:
        """Hand the options of the settings to the canvas."""
        self.canvas.configure(canvases.spec(self.settings.canvas).options(**self.settings.canvas_options))

    def _compute_in(self, precision: Precision) -> None:
        """From now on the networks compute in this precision; `scaler` keeps the gradients that float16 would lose."""
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision.scaled)
        self.canvas.precision = precision
        for pull in self.objectives:
            pull.precision = precision

    def _settle(self) -> None:
        """Before the first step: stay in half precision only where it agrees with float32."""
        kept, sentence, self._settled = self.canvas.precision, None, True
        try:
            kept, sentence = device.settle(kept, self._trial)
        except (RuntimeError, MemoryError) as error:
            if not oom.ran_out(error):  # float32 needs twice as much, and may have to be left out
                raise
        self.canvas.zero_grad()
        oom.release(self.device)
        if self.canvas.precision == FLOAT32 != kept:  # it was, and the other has not been tried
            with suppress(RuntimeError, MemoryError):
                self._trial(kept)
            self.canvas.zero_grad()
        elif kept != self.canvas.precision:  # where it was tried last, its scale has been found
            self._compute_in(kept)
        if sentence:
            warnings.warn(sentence, PaintWarning, stacklevel=3)

    def _trial(self, precision: Precision) -> tuple[Tensor, Tensor]:
        """The losses and the gradient of the coming step in this precision; nothing changes."""
        self._compute_in(precision)
        for _ in range(17 if precision.scaled else 1):  # each halves a scale that is too large, down to 1
            self.canvas.zero_grad()
            _, _, total = self._judge()
            gradient = torch.cat([p.grad.flatten() for p in self.learnable if p.grad is not None])
            if gradient.isfinite().all():
                break
        return total.detach(), gradient

    def _check(self, step: int, losses: Mapping[str, Tensor], sound: Callable[[], Tensor]) -> None:
        if not sound() and not self._forgiven(losses):
            self._unchecked.clear()
            wrong = [name for name, loss in losses.items() if not loss.isfinite().all()] or ["the gradient"]
            raise NotANumber(f"step {step}: {', '.join(wrong)} is not a number; a smaller lr may help")

    def _forgiven(self, losses: Mapping[str, Tensor]) -> bool:
        """Whether half precision is to blame for what is not a number; where a smaller scale is no help, float32 is."""
        if self.scaler.get_scale() > 1 and all(loss.isfinite().all() for loss in losses.values()):
            return True
        if self.canvas.precision == FLOAT32:
            return False
        said = f"{self.canvas.precision.name} overflowed at step {self.step_count}: from here on float32, slower"
        self._compute_in(FLOAT32)
        self._unchecked.clear()  # steps that were made in half precision since
        warnings.warn(said, PaintWarning, stacklevel=4)
        return True

    def _within_memory(self) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """`_judge`; where memory runs out, again with less. Raises OutOfMemory when there is nothing left to save."""
        while True:
            try:
                return self._judge()
            except (RuntimeError, MemoryError) as error:
                if not oom.ran_out(error):
                    raise
            # Only out here the error is gone, and with it all that its traceback held.
            self.canvas.zero_grad()
            cuda_graphs.forget()
            oom.release(self.device)
            self._save_memory()

    def _save_memory(self) -> None:
        """The next rung: the cutouts in smaller parts, then a canvas that computes again what it could not keep."""
        settings, views = self.settings, self.settings.cutn * self.settings.variations
        if self.parts < views:
            self.parts = min(2 * self.parts, views)
            rung = f"the cutouts are judged in {self.parts} parts"
        elif self.canvas.save_memory():
            self.parts, rung = 1, "the picture is rendered piece by piece"  # it, and not they, may have been too large
        else:
            width, height = settings.size
            remedy = f"paint smaller than --size {width} {height}, or with fewer --variations or --cutn"
            raise OutOfMemory(f"memory ran out at step {self.step_count + 1} with all savings made; {remedy}")
        for judge in self.objectives:
            judge.parts = self.parts
        said = f"memory ran out at step {self.step_count + 1}: from here on {rung}, slower"
        warnings.warn(said, PaintWarning, stacklevel=4)

    def _tidy(self) -> None:
        """The canvas tidied, where memory is enough for that; a painting goes on without."""
        try:
            self.canvas.tidy()
        except (RuntimeError, MemoryError) as error:
            if not oom.ran_out(error):
                raise
            said = f"memory is not enough to tidy the picture at step {self.step_count}; it stays as it is"
            warnings.warn(f"{said}, as with --tidy 0", PaintWarning, stacklevel=3)

    @torch.no_grad()
    def _average(self, image: Tensor, judged: Tensor) -> None:
        """Take the parameters, and the picture judged where its loss is a number, (n,) bool, into their averages."""
        if not (decay := self.settings.average):
            return
        for average, parameter in zip(self.averages, self.learnable, strict=True):
            average.lerp_(parameter, 1 - decay)
        if self.shown is None:
            self.shown = image.clone()
        weight = (1 - decay) / (1 - decay**self.step_count)  # so that it is free of bias at every step
        self.shown.lerp_(torch.where(judged[:, None, None, None], image, self.shown), weight)

    def _report(self, image: Tensor, losses: Mapping[str, Tensor], sound: Tensor, look: bool) -> Frame:
        """The step's frame. Whether it is `sound` is read on a GPU two steps later, when that waits for nothing."""
        step, steps = self.step_count, self.settings.steps
        kept = step in (1, steps) or step % self.settings.every == 0
        look = look or kept
        losses = {name: loss.detach() for name, loss in losses.items()}
        self._unchecked.append((step, losses, cuda_graphs.to_host(sound.all())))
        while len(self._unchecked) > (2 if self.device.type == "cuda" and step < steps else 0):
            self._check(*self._unchecked.popleft())
        if not look:
            return Frame(step, steps, losses, None, kept)
        if step == steps and (self.settings.average or self.canvas.tidy_every):
            return Frame(step, steps, losses, self.picture(), kept)
        return Frame(step, steps, losses, (image if self.shown is None else self.shown).detach().clone(), kept)


def run(painting: Painting, *, until: int | None = None, look: bool = False) -> Iterator[Frame]:
    """Paint to the end, or for `until` steps, one frame per step, making each change that is ahead at its step.

    Frames that are kept carry their picture; with `look` all of them do.
    """
    while until is None or painting.step_count < until:
        while painting.ahead and painting.ahead[0].step <= painting.step_count:
            painting.apply(painting.ahead.popleft())
        if painting.step_count >= painting.settings.steps:
            return
        yield painting.step(look=look)


def _own(value: Tensor) -> Tensor:
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
