"""Quantize and clamp agree with the published functions, in value and in gradient."""

import torch
from torch.nn import functional as F

from vqclip_nb.gradients import clamp_with_grad, nearest_codes, quantize


class PublishedReplaceGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, forward, backward):
        ctx.shape = backward.shape
        return forward

    @staticmethod
    def backward(ctx, grad):
        return None, grad.sum_to_size(ctx.shape)


def published_quantize(x, codebook):
    d = x.pow(2).sum(dim=-1, keepdim=True) + codebook.pow(2).sum(dim=1) - 2 * x @ codebook.T
    x_q = F.one_hot(d.argmin(-1), codebook.shape[0]).to(d.dtype) @ codebook
    return PublishedReplaceGrad.apply(x_q, x)


def test_quantize_is_the_published_one():
    draw = torch.Generator().manual_seed(0)
    codebook = torch.randn(50, 4, generator=draw)
    z = torch.randn(2, 4, 5, 6, generator=draw, requires_grad=True)
    weight = torch.randn(2, 4, 5, 6, generator=draw)

    ours, theirs = quantize(z, codebook), published_quantize(z.movedim(1, 3), codebook).movedim(3, 1)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad((out * weight).sum(), z)[0] for out in (ours, theirs)]
    assert torch.equal(*gradients)
    assert torch.equal(codebook[nearest_codes(ours, codebook)].movedim(-1, 1).round(decimals=5), ours.round(decimals=5))


def test_clamp_lets_back_in_and_never_further_out():
    value = torch.tensor([-0.5, -0.5, 0.5, 0.5, 1.5, 1.5], requires_grad=True)
    grad = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    clamped = clamp_with_grad(value)
    clamped.backward(grad)

    assert torch.equal(clamped, value.detach().clamp(0, 1))
    published = grad * (grad * (value.detach() - value.detach().clamp(0, 1)) >= 0)
    assert torch.equal(value.grad, published)
    assert value.grad.tolist() == [0, -1, 1, -1, 1, 0]  # descending, -0.5 may rise and 1.5 may fall
