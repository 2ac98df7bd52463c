"""Step guard: recovery from half precision that fails, losses that are not a number, and memory that runs out."""

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

Evaluation = tuple[Tensor, dict[str, Tensor], Tensor]  # the picture, its losses by name, and their sum, (n,)
Evaluate = Callable[[], Evaluation]  # renders, computes the losses, and leaves the gradients on the canvas


class StepGuard:
    """Makes steps in the best precision that works and in the memory available.

    Networks compute in `precision` if the first step in it agrees with float32; all else is float32 in any case. parts:
    the number of micro-batches that the cutouts are split into. settled: whether the precision has been chosen. scaler:
    scales losses so that small gradients survive in float16. unchecked: steps whose results have not been read from the
    device yet, each as its number, its losses, and a function that waits and says whether all was finite.
    """

    def __init__(self, canvas: Canvas, precision: Precision) -> None:
        self.canvas, self.preferred, self.settled = canvas, precision, precision == FLOAT32
        self.device = canvas.learnable()[0].device
        self.parts = 1
        self.terms: Sequence[Term] = ()
        self.unchecked: deque[tuple[int, Mapping[str, Tensor], Callable[[], Tensor]]] = deque()
        self.compute_in(precision)

    def watch(self, terms: Sequence[Term]) -> None:
        """From now on guard these terms, in the current precision and number of parts."""
        self.terms = terms
        self._tell_terms()

    def compute_in(self, precision: Precision) -> None:
        """From now on the networks compute in this precision."""
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision.scaled)
        self.canvas.precision = precision
        self._tell_terms()

    def restore(self, *, parts: int, thrifty: bool, precision: str | None) -> None:
        """Compute as the run did when its state was saved; a precision that needs a scale is tried again."""
        self.parts = parts
        self._tell_terms()
        if thrifty:
            self.canvas.save_memory()
        precisions = {each.name: each for each in (FLOAT32, self.preferred) if not each.scaled}
        if precision in precisions:
            self.compute_in(precisions[precision])
            self.settled = True

    def backward(self, total: Tensor) -> None:
        """Backpropagate the sum of the losses, (n,), to the canvas; small gradients survive in float16."""
        self.scaler.scale(total.sum()).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Undo the scaling of the gradients on the canvas."""
        self.scaler.unscale_(optimizer)  # type: ignore[arg-type]
        self.scaler.update()

    def within_memory(self, evaluate: Evaluate, settings: Settings, step: int) -> Evaluation:
        """Evaluate; when memory runs out, try again with less. Raises OutOfMemory after the last fallback."""
        while True:
            try:
                return evaluate()
            except (RuntimeError, MemoryError) as error:
                if not oom.ran_out(error):
                    raise
            # Outside the except block the error is released, and with it the tensors that its traceback held.
            self.canvas.zero_grad()
            self.canvas.uncut = None
            cuda_graphs.forget()
            oom.release(self.device)
            self._save_memory(settings, step)

    def settle(self, evaluate: Evaluate) -> None:
        """Before the first step: keep half precision only if it agrees with float32."""
        if self.settled:
            return
        precision, sentence, self.settled = self.canvas.precision, None, True
        try:
            precision, sentence = device.settle(precision, lambda precision: self.trial(precision, evaluate))
        except (RuntimeError, MemoryError) as error:
            if not oom.ran_out(error):  # float32 needs twice as much; the comparison may not fit
                raise
        self.canvas.zero_grad()
        oom.release(self.device)
        if self.canvas.precision == FLOAT32 != precision:  # float32 ran out of memory; half precision may fit
            with suppress(RuntimeError, MemoryError):
                self.trial(precision, evaluate)
            self.canvas.zero_grad()
        elif precision != self.canvas.precision:  # the precision tried last already has its scale
            self.compute_in(precision)
        if sentence:
            warnings.warn(sentence, PaintWarning, stacklevel=4)

    def trial(self, precision: Precision, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
        """The losses, (n,), and the flat gradient of the next step in this precision; nothing else changes."""
        self.compute_in(precision)
        for _ in range(17 if precision.scaled else 1):  # each halves a scale that is too large, down to 1
            self.canvas.zero_grad()
            _, _, total = evaluate()
            gradient = torch.cat([p.grad.flatten() for p in self.canvas.learnable() if p.grad is not None])
            if gradient.isfinite().all():
                break
        return total.detach(), gradient

    def check(self, step: int, losses: Mapping[str, Tensor], valid: Tensor, *, last: bool) -> None:
        """Raise NotANumber when a step was not `valid`, (n,) bool.

        On a GPU it is read two steps later, without waiting.
        """
        self.unchecked.append((step, losses, cuda_graphs.to_host(valid.all())))
        while len(self.unchecked) > (2 if self.device.type == "cuda" and not last else 0):
            number, losses, is_valid = self.unchecked.popleft()
            if not is_valid() and not self._forgiven(losses, step):
                self.unchecked.clear()
                names = [name for name, loss in losses.items() if not loss.isfinite().all()] or ["the gradient"]
                raise NotANumber(f"step {number}: {', '.join(names)} is not a number; a smaller lr may help")

    def _forgiven(self, losses: Mapping[str, Tensor], step: int) -> bool:
        """Whether half precision caused it and painting goes on, with a smaller scale, or else in float32."""
        if self.scaler.get_scale() > 1 and all(loss.isfinite().all() for loss in losses.values()):
            return True
        if self.canvas.precision == FLOAT32:
            return False
        sentence = f"{self.canvas.precision.name} overflowed at step {step}: from here on float32, slower"
        self.compute_in(FLOAT32)
        self.unchecked.clear()  # the steps made in half precision since then
        warnings.warn(sentence, PaintWarning, stacklevel=5)
        return True

    def _save_memory(self, settings: Settings, step: int) -> None:
        """The next memory fallback: the cutouts in more parts, then the canvas rendered piece by piece."""
        views = round(most(settings.cutn, settings.steps)) * settings.variations
        if self.parts < views:
            self.parts = min(2 * self.parts, views)
            saving = f"the cutouts are processed in {self.parts} parts"
        elif self.canvas.save_memory():
            # The canvas may have been the problem, so begin with whole cutouts again.
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
