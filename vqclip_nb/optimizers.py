"""Optimizers: how a step is taken.

torch's own would do, but the first one made imports the compiler, which takes longer than the first ten steps; and a
step that must not be taken for one picture of a batch has to be left out for that picture alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Memory = dict[str, Tensor]


def adam(grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Kingma & Ba, 2014, with betas (.9, .999) and eps 1e-8."""
    mean = memory["mean"].lerp_(grad, 0.1)
    square = memory["square"].mul_(0.999).addcmul_(grad, grad, value=0.001)
    return (mean / (1 - 0.9**count)) / ((square / (1 - 0.999**count)).sqrt() + 1e-8)


def adamax(grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Kingma & Ba, 2014: Adam by the largest gradient of late, with betas (.9, .999) and eps 1e-8."""
    mean = memory["mean"].lerp_(grad, 0.1)
    largest = memory["square"].copy_(torch.maximum(memory["square"] * 0.999, grad.abs() + 1e-8))
    return mean / (1 - 0.9**count) / largest


def rmsprop(grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Tieleman & Hinton, 2012, with alpha .99 and eps 1e-8."""
    square = memory["square"].mul_(0.99).addcmul_(grad, grad, value=0.01)
    return grad / (square.sqrt() + 1e-8)


def sgd(grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Gradient descent with momentum .9."""
    return memory["mean"].mul_(0.9).add_(grad)


RULES: dict[str, Callable[[Tensor, Memory, int], Tensor]] = {
    "adam": adam,
    "adamax": adamax,
    "rmsprop": rmsprop,
    "sgd": sgd,
}


class Optimizer:
    """Steps parameters whose first dimension is the pictures, by one of RULES, with what it remembers of gradients."""

    def __init__(self, rule: str, parameters: Sequence[nn.Parameter]) -> None:
        self.rule = RULES[rule]
        self.parameters = list(parameters)
        self.memories = [{"mean": torch.zeros_like(p), "square": torch.zeros_like(p)} for p in self.parameters]
        self.param_groups = [{"params": self.parameters}]  # by which torch's GradScaler finds the gradients
        self.count = 0

    @torch.no_grad()
    def step(self, lr: float, sound: Tensor) -> Tensor:
        """One step along the gradients for the pictures that are sound, (n,) bool; returns those that could take it.

        A picture with a gradient that is not a number cannot; nothing of it is changed or remembered.
        """
        self.count += 1
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        sound = torch.stack([sound, *(grad.flatten(1).isfinite().all(1) for grad in grads)]).all(0)
        for parameter, grad, memory in zip(self.parameters, grads, self.memories, strict=True):
            good = sound.view(-1, *[1] * (grad.dim() - 1))
            update = self.rule(torch.where(good, grad, 0.0), memory, self.count)
            parameter.sub_(torch.where(good, lr * update, 0.0))
            parameter.grad = None
        return sound

    def choose(self, index: int) -> None:
        """From now on remember one of the pictures alone."""
        self.memories = [{key: value[index : index + 1].clone() for key, value in m.items()} for m in self.memories]

    def state(self) -> dict[str, Tensor]:
        """What it remembers, by name."""
        return {f"{key}_{i}": value for i, memory in enumerate(self.memories) for key, value in memory.items()}

    def restore(self, state: dict[str, Tensor], *, count: int) -> None:
        """Take up what `state` gave after `count` steps, of as many pictures as it holds."""
        self.count = count
        for index, memory in enumerate(self.memories):
            for key, value in memory.items():
                memory[key] = state[f"{key}_{index}"].to(value.device, copy=True)
