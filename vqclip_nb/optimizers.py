"""Optimizers: the update rules of a step.

torch's optimizers are not used for two reasons: importing them imports torch's compiler, which takes longer than ten
steps, and they cannot skip a step for one picture of a batch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Memory = dict[str, Tensor]


@dataclass(frozen=True)
class Rule:
    """One optimizer: its update, and the names of its state tensors.

    `update(parameter, grad, memory, count)` returns the change to subtract from the parameter, before it is multiplied
    by the lr; `count` is the number of this step, from 1. All tensors have the parameter's shape; the first dimension
    is the pictures.
    """

    update: Callable[[Tensor, Tensor, Memory, int], Tensor]
    slots: tuple[str, ...] = ("mean", "square")


def adam(
    parameter: Tensor, grad: Tensor, memory: Memory, count: int, *, beta: float = 0.9, decay: float = 0.0
) -> Tensor:
    """Adam (Kingma & Ba, 2014) betas (`beta`, .999), eps 1e-8, with AdamW's decay (Loshchilov & Hutter, 2017)."""
    mean = memory["mean"].lerp_(grad, 1 - beta)
    square = memory["square"].mul_(0.999).addcmul_(grad, grad, value=0.001)
    update = (mean / (1 - beta**count)) / ((square / (1 - 0.999**count)).sqrt() + 1e-8)
    return update.add_(parameter, alpha=decay) if decay else update


def adamax(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Adam with the infinity norm (Kingma & Ba, 2014), with betas (.9, .999) and eps 1e-8."""
    mean = memory["mean"].lerp_(grad, 0.1)
    largest = memory["square"].copy_(torch.maximum(memory["square"] * 0.999, grad.abs() + 1e-8))
    return mean / (1 - 0.9**count) / largest


def nadam(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Adam with Nesterov momentum (Dozat, 2016), with betas (.9, .999), eps 1e-8 and momentum decay .004."""
    mean = memory["mean"].lerp_(grad, 0.1)
    square = memory["square"].mul_(0.999).addcmul_(grad, grad, value=0.001)
    root = (square / (1 - 0.999**count)).sqrt() + 1e-8
    now, ahead = _momentum(count), _momentum(count + 1)
    product, next_product = _momentum_product(count), _momentum_product(count + 1)
    return (grad * ((1 - now) / (1 - product)) + mean * (ahead / (1 - next_product))) / root


def radam(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Adam with rectified variance (Liu et al., 2019), with betas (.9, .999) and eps 1e-8."""
    mean = memory["mean"].lerp_(grad, 0.1)
    square = memory["square"].mul_(0.999).addcmul_(grad, grad, value=0.001)
    unbiased = mean / (1 - 0.9**count)
    most = 2 / (1 - 0.999) - 1
    length = most - 2 * count * 0.999**count / (1 - 0.999**count)
    if length <= 5:
        return unbiased
    certainty = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
    return unbiased * math.sqrt(certainty * (1 - 0.999**count)) / (square.sqrt() + 1e-8)


def adagrad(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Gradients divided by the root of the sum of their squares (Duchi et al., 2011), with eps 1e-10."""
    return grad / (memory["square"].addcmul_(grad, grad).sqrt() + 1e-10)


def rmsprop(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """RMSProp (Tieleman & Hinton, 2012), with alpha .99 and eps 1e-8."""
    square = memory["square"].mul_(0.99).addcmul_(grad, grad, value=0.01)
    return grad / (square.sqrt() + 1e-8)


def sgd(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Gradient descent with momentum .9."""
    return memory["mean"].mul_(0.9).add_(grad)


def adamp(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Adam without the growth of scale-invariant weights (Heo et al., 2021), with eps 1e-8 and delta .1.

    When gradient and weights are nearly orthogonal, in every channel or else as a whole, the part of the update along
    the weights is removed. Channels are the second dimension, since the first is the pictures.
    """
    update = adam(parameter, grad, memory, count)
    if parameter.dim() < 3:  # one number per channel, so there is nothing to project
        return update
    undecided = torch.ones(len(parameter), dtype=torch.bool, device=parameter.device)
    for channels in (parameter.shape[1], 1):
        weights, slope, change = (value.reshape(len(value), channels, -1) for value in (parameter, grad, update))
        cosine = F.cosine_similarity(weights, slope, dim=-1, eps=1e-8).abs()  # (n, channels)
        invariant = undecided & (cosine.amax(1) < 0.1 / math.sqrt(weights.shape[-1]))
        unit = weights / (weights.norm(dim=-1, keepdim=True) + 1e-8)
        projection = change - unit * (unit * change).sum(-1, keepdim=True)
        mask = invariant.view(-1, *[1] * (parameter.dim() - 1))
        update = torch.where(mask, projection.reshape(parameter.shape), update)
        undecided = undecided & ~invariant
    return update


def diffgrad(parameter: Tensor, grad: Tensor, memory: Memory, count: int) -> Tensor:
    """Adam with friction where gradients stop changing (Dubey et al., 2019), with betas (.9, .999) and eps 1e-8."""
    friction = (memory["previous"] - grad).abs().sigmoid()
    memory["previous"].copy_(grad)
    mean = memory["mean"].lerp_(grad, 0.1)
    square = memory["square"].mul_(0.999).addcmul_(grad, grad, value=0.001)
    return mean * friction / (square.sqrt() + 1e-8) * (math.sqrt(1 - 0.999**count) / (1 - 0.9**count))


RULES = {
    "adam": Rule(adam),
    "adamw": Rule(partial(adam, decay=0.01)),
    "adam-custom": Rule(partial(adam, beta=0.0)),
    "adamax": Rule(adamax),
    "adamp": Rule(adamp),
    "nadam": Rule(nadam),
    "radam": Rule(radam),
    "diffgrad": Rule(diffgrad, ("mean", "square", "previous")),
    "adagrad": Rule(adagrad, ("square",)),
    "rmsprop": Rule(rmsprop, ("square",)),
    "sgd": Rule(sgd, ("mean",)),
}


def _momentum(count: int) -> float:
    """NAdam's momentum at a step, which grows from .45 to .9."""
    return 0.9 * (1 - 0.5 * 0.96 ** (count * 0.004))


_PRODUCTS = [1.0]


def _momentum_product(count: int) -> float:
    """The product of the momenta up to a step. Earlier products are cached, so that each step adds one factor."""
    while len(_PRODUCTS) <= count:
        _PRODUCTS.append(_PRODUCTS[-1] * _momentum(len(_PRODUCTS)))
    return _PRODUCTS[count]


class Optimizer:
    """Updates parameters whose first dimension is the pictures, by one of RULES."""

    def __init__(self, rule: str, parameters: Sequence[nn.Parameter]) -> None:
        self.rule = RULES[rule]
        self.parameters = list(parameters)
        self.memories = [{slot: torch.zeros_like(p) for slot in self.rule.slots} for p in self.parameters]
        self.param_groups = [{"params": self.parameters}]  # where torch's GradScaler looks for gradients
        self.count = 0

    @torch.no_grad()
    def step(self, lr: float | Tensor, valid: Tensor) -> Tensor:
        """Make a step for the pictures where `valid`, (n,) bool; return the mask of those that made it.

        `lr` is a number, or one for each picture, (n,). A picture whose gradient is not finite is skipped: neither its
        parameters nor its state change.
        """
        self.count += 1
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        valid = torch.stack([valid, *(grad.flatten(1).isfinite().all(1) for grad in grads)]).all(0)
        for parameter, grad, memory in zip(self.parameters, grads, self.memories, strict=True):
            mask = valid.view(-1, *[1] * (grad.dim() - 1))
            update = self.rule.update(parameter, torch.where(mask, grad, 0.0), memory, self.count)
            rate = lr.view_as(mask) if isinstance(lr, Tensor) and lr.dim() else lr
            parameter.sub_(torch.where(mask, rate * update, 0.0))
            parameter.grad = None
        return valid

    def reset(self) -> None:
        """Reset the state, as before the first step."""
        self.count = 0
        self.memories = [{slot: torch.zeros_like(value) for slot, value in m.items()} for m in self.memories]

    def forget_directions(self) -> None:
        """Reset the momentum, and keep the squared gradients and the count of steps."""
        for memory in self.memories:
            for slot, value in memory.items():
                if slot != "square":
                    value.zero_()

    def choose(self, index: int) -> None:
        """Keep the state of one picture only."""
        self.memories = [{key: value[index : index + 1].clone() for key, value in m.items()} for m in self.memories]

    def state(self) -> dict[str, Tensor]:
        """The state tensors by name."""
        return {f"{key}_{i}": value for i, memory in enumerate(self.memories) for key, value in memory.items()}

    def restore(self, state: dict[str, Tensor], *, count: int) -> None:
        """Restore what `state` returned after `count` steps, for as many pictures as it holds."""
        self.count = count
        for index, memory in enumerate(self.memories):
            for key, value in memory.items():
                memory[key] = state[f"{key}_{index}"].to(value.device, copy=True)
