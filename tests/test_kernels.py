"""The kernels, run by Triton's interpreter on the CPU, compute what torch's own operators do."""

import copy
import os
from functools import partial
from unittest import mock

import pytest
import torch
from torch.nn import functional as F

from tests.test_speed import NETWORKS
from vqclip_nb import gpu, models
from vqclip_nb.cutouts import Cutouts, augment
from vqclip_nb.rng import Draws

if not os.environ.get("TRITON_INTERPRET"):
    pytest.skip("where there is a GPU, tests/test_gpu.py runs the kernels", allow_module_level=True)
pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")

from taming.modules.diffusionmodules.model import AttnBlock, ResnetBlock, Upsample

from vqclip_nb.gpu import cutout_kernels, triton_kernels, triton_layers
from vqclip_nb.models import openai_clip


def disturbed(layer):
    """Frozen, with weights and biases that are none of the usual ones and zeros."""
    layer.eval().requires_grad_(False)
    for weight in layer.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    return layer


def plain_norm(layer, activated):
    return lambda x: F.silu(layer(x)) if activated else layer(x)


def layers():
    narrow = {"dropout": 0.0, "temb_channels": 0}
    same, wider = (disturbed(ResnetBlock(in_channels=64, out_channels=out, **narrow)) for out in (64, 32))
    attention, up = disturbed(AttnBlock(64)), disturbed(Upsample(32, True))
    norm = disturbed(torch.nn.GroupNorm(32, 64, eps=1e-6))
    return {
        "block": (64, lambda x: same(x, None), lambda x: triton_layers.residual(same, x)),
        "block of other width": (64, lambda x: wider(x, None), lambda x: triton_layers.residual(wider, x)),
        "attention": (64, attention, lambda x: triton_layers.attend_cells(attention, x)),
        "upsampling": (32, up, lambda x: triton_layers.upsample(up, x)),
        "norm": (64, plain_norm(norm, False), lambda x: triton_layers.group_norm(norm, x, activated=False)),
        "norm, activated": (64, plain_norm(norm, True), lambda x: triton_layers.group_norm(norm, x, activated=True)),
    }


def far(one, other):
    return float((one.float() - other.float()).norm() / other.float().norm())


@pytest.mark.parametrize("small", [4096, 0], ids=["at once", "in strips"])
@pytest.mark.parametrize(
    "name", ["block", "block of other width", "attention", "upsampling", "norm", "norm, activated"]
)
def test_a_fused_layer_answers_as_taming_s_in_value_and_gradient(name, small, monkeypatch):
    monkeypatch.setattr(triton_kernels, "_SMALL", small)
    torch.manual_seed(0)
    channels, plain, fused = layers()[name]
    x = (2 * torch.randn(2, channels, 7, 5) + 1).requires_grad_()
    expected = plain(x)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        got = fused(x)
    assert got.dtype == torch.bfloat16
    assert far(got, expected) < 0.01
    pull = torch.randn_like(expected)
    (right,), (ours,) = torch.autograd.grad(expected, x, pull), torch.autograd.grad(got, x, pull.bfloat16())
    assert far(ours, right) < 0.01


def test_the_sums_of_strips_are_those_of_all_places(monkeypatch):
    monkeypatch.setattr(triton_kernels, "_STRIPS", 6)
    x = torch.randn(2, 64, 40, 33).to(memory_format=torch.channels_last)
    sums = triton_kernels._sums(x, x, x.new_empty(2, 2, 64), back=False, activated=False)
    assert sums.shape[1] > 1
    torch.testing.assert_close(
        sums.sum(1), torch.stack([x.sum((2, 3)), x.square().sum((2, 3))], 1), rtol=1e-4, atol=1e-2
    )


def test_quick_gelu_and_attention_are_clip_s():
    torch.manual_seed(0)
    x, pull = torch.randn(3000, requires_grad=True), torch.randn(3000)
    expected, got = x * torch.sigmoid(1.702 * x), triton_layers.QuickGELU.apply(x)
    torch.testing.assert_close(got, expected)
    right, ours = (torch.autograd.grad(each, x, pull)[0] for each in (expected, got))
    torch.testing.assert_close(ours, right)
    clip = disturbed(openai_clip.part("model").CLIP(16, 32, 3, 128, 16, 8, 99, 64, 1, 1))
    layers, tokens = clip.visual.transformer, torch.randn(5, 3, 128)
    models.optimize_network(clip.visual)
    by_torch = layers.resblocks(tokens)
    assert by_torch.shape == (1, 3, 128)  # the class token's alone
    for block in layers.resblocks:
        block.attn.forward = partial(triton_layers.attend, block.attn)
    with mock.patch.object(triton_layers, "half", lambda layer, _, prefix="": _weights(layer, prefix)):
        torch.testing.assert_close(triton_layers.transform(layers, tokens), by_torch)


def _weights(layer, prefix):
    return getattr(layer, f"{prefix}weight"), getattr(layer, f"{prefix}bias")


@pytest.mark.parametrize(("shape", "size"), [((2, 3, 40, 52), 17), ((1, 3, 20, 11), 16), ((1, 3, 64, 64), 32)])
def test_pooling_and_views_are_those_of_torch(shape, size):
    torch.manual_seed(0)
    image = torch.rand(shape).requires_grad_()
    cut, draws = Cutouts("pooling", size, 4), Draws(tuple(range(5, 5 + len(image))), 3)
    expected = cut(image, draws)
    with mock.patch.object(gpu, "usable", return_value=True):
        got = cut(image, draws)
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)
    pull = torch.randn_like(expected)
    right, ours = (torch.autograd.grad(each, image, pull)[0] for each in (expected, got))
    assert far(ours, right) < 1e-5


def test_a_plain_picture_s_gradients_are_shared_as_torch_shares_them():
    """Grey, black and white have no one largest channel."""
    image = torch.tensor([0.0, 0.4, 1.0]).repeat_interleave(8)[None, None, None].expand(1, 3, 24, 24).clone()
    image.requires_grad_()
    cut, draws = Cutouts("pooling", 24, 3), Draws((1,))
    expected = cut(image, draws)
    with mock.patch.object(gpu, "usable", return_value=True):
        got = cut(image, draws)
    right, ours = (
        torch.autograd.grad(each.sum((0, 2, 3)).dot(torch.tensor([1.0, 2, 3])), image)[0] for each in (expected, got)
    )
    assert far(ours, right) < 1e-4


def test_a_gradient_that_is_not_a_number_stays_none():
    image = torch.rand(2, 3, 16, 16)
    numbers = augment.Chances(augment.POOLING_AUGMENT, Draws((1, 2)), Cutouts("pooling", 16, 2)).numbers()
    leaf = image.requires_grad_()
    seen = cutout_kernels.augment_views(leaf, numbers, torch.zeros(4, 3, 16, 16))
    pull = torch.ones_like(seen)
    pull[0, 0, 3, 3] = torch.nan
    with pytest.warns(RuntimeWarning):
        (gradient,) = torch.autograd.grad(seen, leaf, pull)
    assert gradient[0].isnan().all()
    assert gradient[1].isfinite().all()
    (none,) = torch.autograd.grad(
        cutout_kernels.augment_views(leaf, numbers, torch.zeros(4, 3, 16, 16)), leaf, torch.zeros(4, 3, 16, 16)
    )
    assert not none.any()


def test_a_layer_in_half_precision_can_be_copied():
    block = disturbed(ResnetBlock(in_channels=32, out_channels=32, dropout=0.0, temb_channels=0))
    saved = triton_layers.half(block.conv1, torch.bfloat16)
    assert triton_layers.half(block.conv1, torch.bfloat16) is saved
    assert torch.equal(triton_layers.half(copy.deepcopy(block).conv1, torch.bfloat16)[0], saved[0])


@pytest.mark.parametrize("name", ["a VQGAN with attention", "a ViT of several layers", "the demo CLIP"])
def test_a_quickened_network_answers_by_the_kernels_as_published(name, monkeypatch):
    torch.manual_seed(0)
    network, inputs = NETWORKS[name]()
    inputs = inputs[:1, ..., :6, :6].contiguous() if "VQGAN" in name else inputs[:1]
    inputs.requires_grad_()
    quick = models.optimize_network(copy.deepcopy(network))
    compute = [(each.decode if hasattr(each, "decode") else each) for each in (network, quick)]
    expected = compute[0](inputs)
    monkeypatch.setattr(gpu, "kernels", lambda x: triton_layers)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        got = compute[1](inputs)
    assert torch.cosine_similarity(got.flatten().float(), expected.flatten(), dim=0) > 0.999
    pull = torch.randn_like(expected)
    right, ours = (
        torch.autograd.grad(expected, inputs, pull)[0],
        torch.autograd.grad(got, inputs, pull.to(got.dtype))[0],
    )
    assert torch.cosine_similarity(ours.flatten(), right.flatten(), dim=0) > 0.98
