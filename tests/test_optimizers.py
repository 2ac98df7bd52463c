"""Optimizers step as torch's do, or as published, and leave out a picture that cannot step."""

import math

import pytest
import torch
from torch import nn

from vqclip_nb.fields import by_name
from vqclip_nb.optimizers import RULES, Optimizer

TORCH = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "adam-custom": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.0, 0.999)),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.1),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
}


def gradients(*shape, count=8):
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=draw) for _ in range(count)]


def adamp_alone(weight, grads):
    """AdamP's published steps for one picture, with lr .1: (channels, ...) -> the weights after them."""
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for count, grad in enumerate(grads, 1):
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        perturb = mean / (square.sqrt() / math.sqrt(1 - 0.999**count) + 1e-8)
        for rows in (len(weight), 1) if weight.dim() > 1 else ():
            w, g = weight.reshape(rows, -1), grad.reshape(rows, -1)
            cosine = (w * g).sum(1).abs() / (w.norm(dim=1) * g.norm(dim=1))
            if cosine.max() < 0.1 / math.sqrt(w.shape[1]):
                unit, change = w / w.norm(dim=1, keepdim=True), perturb.reshape(rows, -1)
                perturb = (change - unit * (unit * change).sum(1, keepdim=True)).reshape(weight.shape)
                break
        weight = weight - 0.1 / (1 - 0.9**count) * perturb
    return weight


def diffgrad_alone(weight, grads):
    """DiffGrad's published steps, with lr .1."""
    mean, square, before = torch.zeros_like(weight), torch.zeros_like(weight), torch.zeros_like(weight)
    for count, grad in enumerate(grads, 1):
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        friction = 1 / (1 + torch.exp(-(before - grad).abs()))
        rate = 0.1 * math.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        weight, before = weight - rate * mean * friction / (square.sqrt() + 1e-8), grad
    return weight


ALONE = {"adamp": adamp_alone, "diffgrad": diffgrad_alone}


def test_every_rule_is_a_choice_of_the_settings_and_has_an_oracle():
    assert {*TORCH, *ALONE} == {*RULES} == {*by_name("optimizer").choices}


@pytest.mark.parametrize("rule", TORCH)
def test_every_rule_is_torchs(rule):
    ours, theirs = nn.Parameter(torch.ones(3, 5)), nn.Parameter(torch.ones(3, 5))
    optimizer, reference = Optimizer(rule, [ours]), TORCH[rule]([theirs])
    for grad in gradients(3, 5):
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        optimizer.step(0.1, torch.ones(3, dtype=torch.bool))
        reference.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("rule", ALONE)
@pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 40), (4, 2, 2)])
def test_the_others_step_as_published_picture_by_picture(rule, shape):
    start = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    grads = gradients(3, *shape)
    across = start.flatten(2) if start.dim() > 2 else None
    if across is not None:  # gradients across the weights in two of the pictures, so that AdamP projects
        unit = torch.nn.functional.normalize(across, dim=-1)
        for grad in grads:
            flat = grad.view_as(across)
            flat[:2] -= 0.999 * unit[:2] * (unit * flat).sum(-1, keepdim=True)[:2]
    ours = nn.Parameter(start.clone())
    optimizer = Optimizer(rule, [ours])
    for grad in grads:
        ours.grad = grad.clone()
        optimizer.step(0.1, torch.ones(3, dtype=torch.bool))
    alone = [ALONE[rule](start[k], [grad[k] for grad in grads]) for k in range(3)]
    torch.testing.assert_close(ours.detach(), torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_adamp_leaves_out_what_lies_along_the_weights():
    weight = nn.Parameter(torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]))
    optimizer = Optimizer("adamp", [weight])
    for grad in ([[[0.5, 1.0]], [[0.5, 1.0]]], [[[0.0, 1.0]], [[1.0, 1.0]]]):
        weight.grad = torch.tensor(grad)
        weight.data = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
        before = weight.detach().clone()
        optimizer.step(0.1, torch.ones(2, dtype=torch.bool))
    moved = (weight.detach() - before)[:, 0]
    assert moved[0, 0].abs() < 1e-6, "the gradient lies across the weights: so does the step, whatever the momentum"
    assert moved[1, 0] < -0.05


@pytest.mark.parametrize("rule", RULES)
def test_what_a_rule_remembers_goes_on_in_another_optimizer(rule):
    one, other = nn.Parameter(torch.ones(3, 2, 5)), nn.Parameter(torch.ones(3, 2, 5))
    first, second = Optimizer(rule, [one]), Optimizer(rule, [other])
    everyone = torch.ones(3, dtype=torch.bool)
    for index, grad in enumerate(gradients(3, 2, 5)):
        if index == 4:
            other.data = one.data.clone()
            second.restore({name: value.clone() for name, value in first.state().items()}, count=first.count)
        for optimizer, parameter in ((first, one), (second, other)):
            parameter.grad = grad.clone()
            if optimizer is first or index >= 4:
                optimizer.step(0.1, everyone)
    assert torch.equal(one, other)


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
