"""Painting: a run in progress, one step at a time. The one thing that changes, is steered, saved and resumed."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from vqclip_nb.canvases import Canvas
from vqclip_nb.chance import Draws
from vqclip_nb.errors import NotANumber, SettingsError
from vqclip_nb.objectives import Objective
from vqclip_nb.optimizers import Optimizer
from vqclip_nb.settings import Settings, live_fields


@dataclass(frozen=True)
class Frame:
    """What one step saw. `image` is the picture that was judged, its own copy, or None where nobody will look.

    step: from 1 to steps. losses: by name, each (n,), on the device. image: (n, 3, H, W) RGB in [0, 1].
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


@dataclass(frozen=True)
class Change:
    """Settings that change while painting, and, once applied, the number of steps that were made before."""

    settings: Mapping[str, Any]
    step: int = 0


class Painting:
    """A canvas, what pulls at it, and how far it has come.

    `build` makes the objectives that settings ask for; it is called again when they change.
    """

    def __init__(self, settings: Settings, canvas: Canvas, build: Callable[[Settings], Sequence[Objective]]) -> None:
        self.settings, self.canvas, self.build = settings, canvas, build
        self.device = canvas.learnable()[0].device
        self.step_count = 0
        self.timeline: list[Change] = []
        self.objectives = build(settings)
        self.optimizer = Optimizer(settings.optimizer, canvas.learnable())
        self.averages = [torch.zeros_like(parameter) for parameter in canvas.learnable()]
        self._pace = _Pace(self.device)
        canvas.remember()

    def step(self, *, look: bool = False) -> Frame:
        """One update. The frame carries a picture when it is kept, or when somebody wants to `look`.

        Raises NotANumber when a picture's loss or gradient is not a number: that picture then stays as it was.
        """
        self._pace.wait()
        progress = self.step_count / self.settings.steps

        image = self.canvas()  # render
        draws = Draws(self.settings.seeds, self.step_count, self.device)
        losses = {name: loss for judge in self.objectives for name, loss in judge(image, draws, progress).items()}
        losses |= self.canvas.penalties(progress)
        total = torch.stack(list(losses.values())).sum(0)  # (n,): each picture is alone with its losses
        total.sum().backward()

        sound = self.optimizer.step(self.settings.lr or self.canvas.lr, total.isfinite())
        self.canvas.constrain()
        self._average()
        self.step_count += 1

        return self._report(image, losses, sound, look)

    @torch.no_grad()
    def picture(self) -> Tensor:
        """The picture as it is now (the average, where one is asked for): (n, 3, H, W) RGB in [0, 1]."""
        decay, learnable = self.settings.average, self.canvas.learnable()
        if not decay or not self.step_count:
            return self.canvas().clone()
        latest = [parameter.clone() for parameter in learnable]
        for parameter, average in zip(learnable, self.averages, strict=True):
            parameter.copy_(average / (1 - decay**self.step_count))
        image = self.canvas().clone()
        for parameter, value in zip(learnable, latest, strict=True):
            parameter.copy_(value)
        return image

    def apply(self, change: Change) -> None:
        """Take new settings from the next step on. Raises SettingsError for one that cannot change in mid-run."""
        if fixed := sorted(set(change.settings) - live_fields()):
            raise SettingsError(f"{fixed[0]} cannot change while painting; start a new run with it")
        settings = self.settings.but(**change.settings)
        self.objectives = self.build(settings)
        self.settings = settings
        self.timeline.append(replace(change, step=self.step_count))

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on from here: `tensors` by name, and `facts` that JSON can hold."""
        tensors = {f"canvas.{name}": value for name, value in self.canvas.learned().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        tensors |= {f"average.{index}": value for index, value in enumerate(self.averages)}
        facts = {
            "step": self.step_count,
            "optimizer": self.optimizer.count,
            "settings": self.settings.recipe(),
            "timeline": [{"step": change.step, "settings": dict(change.settings)} for change in self.timeline],
        }
        return {"tensors": {name: value.detach().cpu().clone() for name, value in tensors.items()}, "facts": facts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave, of a painting with the same settings at its start."""
        tensors, facts = state["tensors"], state["facts"]
        self.canvas.relearn(_under("canvas.", tensors))
        self.optimizer.restore(_under("optimizer.", tensors), count=facts["optimizer"])
        for index, average in enumerate(self.averages):
            average.copy_(tensors[f"average.{index}"])
        self.step_count = facts["step"]
        self.timeline = [Change(change["settings"], change["step"]) for change in facts["timeline"]]
        self.settings = self.settings.but(**{name: facts["settings"][name] for name in live_fields()})
        self.objectives = self.build(self.settings)

    @torch.no_grad()
    def _average(self) -> None:
        if decay := self.settings.average:
            for average, parameter in zip(self.averages, self.canvas.learnable(), strict=True):
                average.lerp_(parameter, 1 - decay)

    def _report(self, image: Tensor, losses: Mapping[str, Tensor], sound: Tensor, look: bool) -> Frame:
        """The step's frame. Reading `sound` waits for the device, so on a GPU that is left to frames with a picture."""
        step, steps = self.step_count, self.settings.steps
        kept = step in (1, steps) or step % self.settings.every == 0
        look = look or kept
        if (look or self.device.type == "cpu") and not sound.all():
            wrong = [name for name, loss in losses.items() if not loss.isfinite().all()] or ["the gradient"]
            raise NotANumber(f"step {step}: {', '.join(wrong)} is not a number; a smaller lr may help")
        losses = {name: loss.detach() for name, loss in losses.items()}
        if look:
            image = self.picture() if self.settings.average else image.detach().clone()
        return Frame(step, steps, losses, image if look else None, kept)


def run(painting: Painting) -> Iterator[Frame]:
    """Paint to the end, one frame per step."""
    while painting.step_count < painting.settings.steps:
        yield painting.step()


class _Pace:
    """Keeps Python at most two steps ahead of a GPU, so that Stop is heard in time."""

    def __init__(self, device: torch.device) -> None:
        self.events: deque[torch.cuda.Event] | None = deque() if device.type == "cuda" else None

    def wait(self) -> None:
        """Wait for the step before the last."""
        if self.events is None:
            return
        event = torch.cuda.Event()
        event.record()
        self.events.append(event)
        if len(self.events) > 2:
            self.events.popleft().synchronize()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
