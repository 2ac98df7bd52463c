"""Step guard: how a step recovers from half precision that fails, numbers that are none, and memory that runs out."""

import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from vqclip_nb import device, oom
from vqclip_nb.canvases import Canvas
from vqclip_nb.device import FLOAT32, Precision
from vqclip_nb.errors import NotANumber, OutOfMemory, PaintWarning
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.objectives import Term
from vqclip_nb.optimizers import Optimizer
from vqclip_nb.schedules import most
from vqclip_nb.settings import Settings

Judgement = tuple[Tensor, dict[str, Tensor], Tensor]  # the picture, its losses by name, and their sum, (n,)
Judge = Callable[[], Judgement]  # renders and judges, and leaves the gradients on the canvas


class StepGuard:
    """Makes steps in the best precision and in the memory that there is. The painting tells it what a step does.

    Networks compute in `precision` if the first step in it agrees with float32; all else is float32 in any case.
    parts: micro-batches that the cutouts are judged in. settled: whether the precision has been chosen. scaler: keeps
    the gradients that float16 would lose. unchecked: steps whose numbers have not been read from the device yet, each
    its number, its losses, and what waits for whether all is finite.
    """

    def __init__(self, canvas: Canvas, precision: Precision) -> None:
        self.canvas, self.wanted, self.settled = canvas, precision, precision == FLOAT32
        self.device = canvas.learnable()[0].device
        self.parts = 1
        self.terms: Sequence[Term] = ()
        self.unchecked: deque[tuple[int, Mapping[str, Tensor], Callable[[], Tensor]]] = deque()
        self.compute_in(precision)

    def watch(self, terms: Sequence[Term]) -> None:
        """From now on these terms are judged, in the precision and in the parts that were found."""
        self.terms = terms
        self._tell_terms()

    def compute_in(self, precision: Precision) -> None:
        """From now on the networks compute in this precision."""
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision.scaled)
        self.canvas.precision = precision
        self._tell_terms()

    def restore(self, *, parts: int, thrifty: bool, precision: str | None) -> None:
        """Compute as the run did when its state was kept; a precision that needs a scale is tried again."""
        self.parts = parts
        self._tell_terms()
        if thrifty:
            self.canvas.save_memory()
        known = {each.name: each for each in (FLOAT32, self.wanted) if not each.scaled}
        if precision in known:
            self.compute_in(known[precision])
            self.settled = True

    def backward(self, total: Tensor) -> None:
        """Add the gradients of the losses' sum, (n,), on the canvas; those that float16 would lose survive."""
        self.scaler.scale(total.sum()).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Give the gradients on the canvas their true size."""
        self.scaler.unscale_(optimizer)  # type: ignore[arg-type]
        self.scaler.update()

    def within_memory(self, judge: Judge, settings: Settings, step: int) -> Judgement:
        """Judge; where memory runs out, again with less. Raises OutOfMemory when there is nothing left to save."""
        while True:
            try:
                return judge()
            except (RuntimeError, MemoryError) as error:
                if not oom.ran_out(error):
                    raise
            # Only out here the error is gone, and with it all that its traceback held.
            self.canvas.zero_grad()
            self.canvas.uncut = None
            cuda_graphs.forget()
            oom.release(self.device)
            self._save_memory(settings, step)

    def settle(self, judge: Judge) -> None:
        """Before the first step: stay in half precision only where it agrees with float32."""
        if self.settled:
            return
        kept, sentence, self.settled = self.canvas.precision, None, True
        try:
            kept, sentence = device.settle(kept, lambda precision: self.trial(precision, judge))
        except (RuntimeError, MemoryError) as error:
            if not oom.ran_out(error):  # float32 needs twice as much, and may have to be left out
                raise
        self.canvas.zero_grad()
        oom.release(self.device)
        if self.canvas.precision == FLOAT32 != kept:  # float32 ran out of memory; half precision is yet to be tried
            with suppress(RuntimeError, MemoryError):
                self.trial(kept, judge)
            self.canvas.zero_grad()
        elif kept != self.canvas.precision:  # the precision tried last has found its scale already
            self.compute_in(kept)
        if sentence:
            warnings.warn(sentence, PaintWarning, stacklevel=4)

    def trial(self, precision: Precision, judge: Judge) -> tuple[Tensor, Tensor]:
        """The losses, (n,), and the flat gradient of the coming step in this precision; nothing else changes."""
        self.compute_in(precision)
        for _ in range(17 if precision.scaled else 1):  # each halves a scale that is too large, down to 1
            self.canvas.zero_grad()
            _, _, total = judge()
            gradient = torch.cat([p.grad.flatten() for p in self.canvas.learnable() if p.grad is not None])
            if gradient.isfinite().all():
                break
        return total.detach(), gradient

    def check(self, step: int, losses: Mapping[str, Tensor], sound: Tensor, *, last: bool) -> None:
        """Raise NotANumber when a step was not `sound`, (n,) bool. A GPU's is read two steps later, without waiting."""
        self.unchecked.append((step, losses, cuda_graphs.to_host(sound.all())))
        while len(self.unchecked) > (2 if self.device.type == "cuda" and not last else 0):
            checked, losses, arrived = self.unchecked.popleft()
            if not arrived() and not self._forgiven(losses, step):
                self.unchecked.clear()
                wrong = [name for name, loss in losses.items() if not loss.isfinite().all()] or ["the gradient"]
                raise NotANumber(f"step {checked}: {', '.join(wrong)} is not a number; a smaller lr may help")

    def _forgiven(self, losses: Mapping[str, Tensor], step: int) -> bool:
        """Whether half precision is to blame for what is not a number: a smaller scale helps, or else float32 does."""
        if self.scaler.get_scale() > 1 and all(loss.isfinite().all() for loss in losses.values()):
            return True
        if self.canvas.precision == FLOAT32:
            return False
        sentence = f"{self.canvas.precision.name} overflowed at step {step}: from here on float32, slower"
        self.compute_in(FLOAT32)
        self.unchecked.clear()  # steps that were made in half precision since
        warnings.warn(sentence, PaintWarning, stacklevel=5)
        return True

    def _save_memory(self, settings: Settings, step: int) -> None:
        """The next memory fallback: the cutouts in smaller parts, then a canvas that is rendered piece by piece."""
        views = round(most(settings.cutn, settings.steps)) * settings.variations
        if self.parts < views:
            self.parts = min(2 * self.parts, views)
            saving = f"the cutouts are judged in {self.parts} parts"
        elif self.canvas.save_memory():
            # The canvas, and not the cutouts, may have been too large.
            self.parts, saving = 1, "the picture is rendered piece by piece"
        else:
            width, height = settings.size
            remedy = f"paint smaller than --size {width} {height}, or with fewer --variations or --cutn"
            raise OutOfMemory(f"memory ran out at step {step} with all savings made; {remedy}")
        self._tell_terms()
        sentence = f"memory ran out at step {step}: from here on {saving}, slower"
        warnings.warn(sentence, PaintWarning, stacklevel=5)

    def _tell_terms(self) -> None:
        for term in self.terms:
            term.objective.parts, term.objective.precision = self.parts, self.canvas.precision
