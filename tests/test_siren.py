"""The SIREN canvas is Deep Daze's network, renders at any size, and starts from a picture without a wash."""

import math

import pytest
import torch

from vqclip_nb.canvases.siren import SirenOptions
from vqclip_nb.canvases.siren.canvas import SirenCanvas

DEEP_DAZE = SirenOptions(layers=16, hidden_size=256, w0=30, w0_first=30)


def published_siren(canvas, k, width, height):
    """siren-pytorch's SirenWrapper for picture k, pixel by pixel: (3, height, width), before the clamp."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    values = torch.stack((y, x), dim=-1).reshape(-1, 2)
    *hidden, last = zip(canvas.weights, canvas.biases, strict=True)
    for weight, bias in hidden:
        values = torch.sin(30.0 * torch.nn.functional.linear(values, weight[k], bias[k]))
    colour = torch.nn.functional.linear(values, last[0][k], last[1][k])
    return (colour.reshape(height, width, 3).permute(2, 0, 1) + 1) * 0.5


def test_one_forward_is_the_published_formula():
    canvas = SirenCanvas(size=(24, 24), seeds=(1, 2), options=DEEP_DAZE)
    for weight in (canvas.weights[-1], canvas.biases[-1]):
        weight.data *= 200  # so that some colours lie outside and are clamped
    image = canvas()
    for k in range(2):
        torch.testing.assert_close(image[k], published_siren(canvas, k, 24, 24).clamp(0, 1), atol=1e-4, rtol=0)
    assert image.min() == 0
    assert image.max() == 1


def test_weights_begin_as_published_and_are_as_many():
    canvas = SirenCanvas(size=(8, 8), seeds=(0,), options=DEEP_DAZE)
    assert sum(parameter.numel() for parameter in canvas.learnable()) == 988_419
    for index, pair in enumerate(zip(canvas.weights, canvas.biases, strict=True)):
        bound = 1 / 2 if index == 0 else math.sqrt(6 / 256) / 30
        values = torch.cat([each.detach().flatten() for each in pair]) / bound
        assert values.abs().max() <= 1
        assert values.abs().mean() == pytest.approx(0.5, abs=0.05)
        assert values.mean() == pytest.approx(0, abs=0.1)


def test_the_same_weights_render_at_any_size_tile_by_tile():
    canvas = SirenCanvas(size=(24, 16), seeds=(0, 1))
    with torch.no_grad():
        large = canvas.render(360, 240)  # more than one tile
        assert large.shape == (2, 3, 240, 360)
        corners = large[..., [0, 0, -1, -1], [0, -1, 0, -1]]
        torch.testing.assert_close(corners, canvas()[..., [0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-4, rtol=0)
    torch.testing.assert_close(canvas.render(360, 240), large, atol=1e-5, rtol=0)


def test_saving_memory_keeps_picture_and_gradient():
    frugal, plain = (SirenCanvas(size=(96, 64), seeds=(0,)) for _ in range(2))
    assert frugal.save_memory()
    assert not frugal.save_memory()
    for canvas in (frugal, plain):
        canvas().square().sum().backward()
    for one, other in zip(frugal.learnable(), plain.learnable(), strict=True):
        assert torch.cosine_similarity(one.grad.flatten(), other.grad.flatten(), dim=0) > 0.9999


def test_a_start_image_is_shown_in_its_own_colours():
    """Deep Daze fits the raw output and shows (output + 1) / 2, so that black comes out grey."""
    canvas = SirenCanvas(size=(32, 32), seeds=(0,))
    dark = torch.full((1, 3, 40, 40), 0.1)
    canvas.start_from(dark)
    assert (canvas() - 0.1).abs().max() < 0.02
