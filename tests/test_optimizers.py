"""Optimizers step as torch's do, and leave out a picture that cannot step."""

import pytest
import torch
from torch import nn

from vqclip_nb.optimizers import RULES, Optimizer

TORCH = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
}


def gradients():
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(3, 5, generator=draw) for _ in range(8)]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_torchs(rule):
    ours, theirs = nn.Parameter(torch.ones(3, 5)), nn.Parameter(torch.ones(3, 5))
    optimizer, reference = Optimizer(rule, [ours]), TORCH[rule]([theirs])
    for grad in gradients():
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        optimizer.step(0.1, torch.ones(3, dtype=torch.bool))
        reference.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("rule", RULES)
def test_a_picture_that_is_not_a_number_stays_as_it_was(rule):
    parameter = nn.Parameter(torch.ones(3, 5))
    optimizer = Optimizer(rule, [parameter])
    parameter.grad = torch.ones(3, 5)
    parameter.grad[1, 2] = torch.nan
    sound = optimizer.step(0.1, torch.tensor([True, True, False]))
    assert sound.tolist() == [True, False, False]
    assert (parameter[0] < 1).all()
    assert (parameter[1:] == 1).all()
    assert all(value.isfinite().all() for value in optimizer.state().values())
