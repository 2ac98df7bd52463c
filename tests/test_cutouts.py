"""Cutouts are pure, alike alone and in a batch, and the published ones follow the published recipe."""

import math

import pytest
import torch
from torch.nn import functional as F

from vqclip_nb import augments
from vqclip_nb.cutouts import METHODS, Cutouts, augment, crop_methods, geometry, letters, methods
from vqclip_nb.cutouts.augment import POOLING_AUGMENT
from vqclip_nb.rng import Draws

EVERY_METHOD = pytest.mark.parametrize("name", METHODS)


def smooth_pictures(n=2, size=(96, 80)):
    noise = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return F.interpolate(noise, size, mode="bicubic").clamp(0, 1)


@EVERY_METHOD
def test_views_of_a_picture_are_the_same_alone_and_in_a_batch(name):
    image, cut = smooth_pictures(3), Cutouts(name, 32, 5)
    batch = cut(image, Draws((7, 8, 9), step=2))
    assert batch.shape == (15, 3, 32, 32)
    torch.testing.assert_close(batch[5:10], cut(image[1:2], Draws((8,), step=2)))
    assert not torch.equal(batch, cut(image, Draws((7, 8, 9), step=3)))


@EVERY_METHOD
def test_gradients_reach_the_picture_that_was_cut_and_no_other(name):
    image = smooth_pictures(2).requires_grad_()
    views = Cutouts(name, 32, 4)(image, Draws((0, 1)))
    views[:4].square().sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad[0].abs().sum() > 0
    assert image.grad[1].abs().sum() == 0


@EVERY_METHOD
@pytest.mark.parametrize("size", [(8, 8), (200, 40)])
def test_pictures_of_any_size_are_cut(name, size):
    views = Cutouts(name, 32, 3)(smooth_pictures(1, size), Draws((0,)))
    assert views.shape == (3, 3, 32, 32)
    assert views.isfinite().all()


def test_pooling_is_half_average_half_maximum_computed_once():
    image = smooth_pictures()
    published = (torch.nn.AdaptiveAvgPool2d(32)(image) + torch.nn.AdaptiveMaxPool2d(32)(image)) / 2
    assert torch.equal(methods.pool(image, 32), published)


def test_fused_pooling_differs_from_the_published_only_by_its_resampling():
    image, draws = smooth_pictures(4), Draws((0, 1, 2, 3))
    fast, exact = (Cutouts(name, 48, 8)(image, draws) for name in ("pooling", "pooling-published"))
    assert (fast - exact).abs().mean() < 0.01
    assert (fast - exact).abs().flatten(1).mean(1).max() < 0.03


def test_published_pooling_is_the_recipe_view_by_view():
    """Against a plain loop, one view and one operation at a time, with nothing shared but the draws."""
    size, cutn, image = 32, 12, smooth_pictures(1)
    cut, draws = Cutouts("pooling-published", 32, cutn), Draws((5,), step=1)
    chances = augment.Chances(POOLING_AUGMENT, draws, cut)
    noise, saved = chances.noise(), chances.kept_area(image)
    pooled = methods.pool(image, size)

    expected = []
    for k in range(cutn):
        view = resampled(pooled, torch.linalg.inv(chances.affine[k]), border=True)
        view = resampled(view, torch.linalg.inv(chances.perspective[k]), border=False)
        view = recoloured(view[0], turn=chances.hue[k].item(), times=chances.saturation[k].item())
        expected.append(view * saved[k] + noise[k])
    torch.testing.assert_close(cut(image, draws), torch.stack(expected), atol=2e-4, rtol=0)


def test_draws_keep_to_the_published_ranges():
    cut = Cutouts("pooling", 100, 2000)
    chances = augment.Chances(POOLING_AUGMENT, Draws((0,)), cut)
    angle = torch.atan2(chances.affine[:, 0, 1], chances.affine[:, 0, 0]).rad2deg()
    moved = angle != 0
    assert 0.66 < moved.float().mean() < 0.74
    assert 14 < angle.abs().max() <= 15
    middle = chances.affine @ torch.tensor([49.5, 49.5, 1.0])
    assert torch.allclose(middle[:, 0], torch.tensor(49.5), atol=1e-3), "no shift to the side"
    assert 9 < (middle[:, 1] - 49.5).abs().max() <= 10.001
    corner = chances.perspective[:, :2, 2]  # where the upper left corner goes
    assert corner.min() >= -1e-4
    assert 33 < corner.max() <= 35.001
    assert 0.09 < chances.hue.abs().max() <= 0.1
    assert (chances.saturation >= 0.9).all()
    assert (chances.saturation <= 1.1).all()
    erased = 1 - torch.stack(
        [
            augment.Chances(POOLING_AUGMENT, Draws((s,)), Cutouts("pooling", 100, 1)).kept_area(torch.ones(1)).mean()
            for s in range(300)
        ]
    )
    assert 0.62 < (erased > 0).float().mean() < 0.78
    assert erased[erased > 0].min() > 0.08
    assert erased.max() <= 0.4


def test_crops_of_a_plain_picture_are_plain():
    """Lanczos weights that did not add up to one would show here, at the borders most."""
    line = geometry.lanczos(torch.tensor([0.0, 13.0]), torch.tensor([64.0, 51.0]), 64, 16)
    torch.testing.assert_close(line @ torch.full((64, 1), 0.4), torch.full((2, 16, 1), 0.4))
    ramp = geometry.lanczos(torch.tensor([10.0]), torch.tensor([40.0]), 64, 20) @ torch.arange(64.0)
    torch.testing.assert_close(ramp[0], 10.5 + 2 * torch.arange(20.0), atol=0.05, rtol=0)


def resampled(view, back, *, border):
    """Bilinear by hand: each pixel of the new view from where `back` says it was, (1, 3, s, s)."""
    size = view.shape[-1]
    result = torch.zeros_like(view)
    for y in range(size):
        for x in range(size):
            u, v, w = (back.double() @ torch.tensor([x, y, 1.0], dtype=torch.float64)).tolist()
            u, v = u / w, v / w
            if border:
                u, v = min(max(u, 0), size - 1), min(max(v, 0), size - 1)
            for row in (math.floor(v), math.floor(v) + 1):
                for column in (math.floor(u), math.floor(u) + 1):
                    share = (1 - abs(u - column)) * (1 - abs(v - row))
                    if 0 <= row < size and 0 <= column < size:
                        result[0, :, y, x] += share * view[0, :, row, column]
    return result


def recoloured(view, *, turn, times):
    """HSV by Python's colorsys, pixel by pixel: (3, s, s)."""
    import colorsys

    result = torch.empty_like(view)
    for y in range(view.shape[1]):
        for x in range(view.shape[2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*view[:, y, x].clamp(0, 1).tolist())
            rgb = colorsys.hsv_to_rgb((hue + turn) % 1, min(saturation * times, 1), value)
            result[:, y, x] = torch.tensor(rgb)
    return result


@pytest.mark.parametrize(
    ("kernel", "resized"),
    [
        ("bilinear", lambda part: F.interpolate(part, (32, 32), mode="bilinear", align_corners=False)),
        ("nearest", lambda part: F.interpolate(part, (32, 32), mode="nearest")),
        ("area", lambda part: F.adaptive_avg_pool2d(part, 32)),
    ],
)
def test_crops_are_resized_as_torch_does(kernel, resized):
    image, sides, tops, lefts = smooth_pictures(1), (11, 32, 47, 80), (5, 60, 0, 16), (69, 3, 33, 0)
    numbers = [torch.tensor(each, dtype=torch.float32) for each in (sides, tops, lefts)]
    views = crop_methods.cut(image, *numbers, 32, geometry.KERNELS[kernel])
    for view, side, top, left in zip(views, sides, tops, lefts, strict=True):
        part = image[..., top : top + side, left : left + side]
        torch.testing.assert_close(view[None], resized(part), atol=1e-5, rtol=1e-4)


def places(name, monkeypatch, size=(100, 100), progress=0.0, cutn=3000, sizes=None):
    """Side, top and left of each view that a method cuts."""
    seen = []
    monkeypatch.setattr(crop_methods, "cut", lambda image, *numbers: seen.append(numbers) or torch.zeros(cutn, 3, 1, 1))
    METHODS[name].plain(torch.zeros(1, 3, *size), Draws((0,)), Cutouts(name, 10, cutn, sizes=sizes), progress)
    return seen[0][:3]


@pytest.mark.parametrize("name", ["uniform", "uniform-rising", "uniform-centre"])
def test_deep_dazes_crops(name, monkeypatch):
    side, top, left = places(name, monkeypatch, progress=0.5)
    least = int((0.1 + 0.65 * 0.5) * 100) if name == "uniform-rising" else 10
    assert side.min() == least
    assert side.max() == 99, "the upper end is exclusive"
    assert side.mean().item() == pytest.approx((least + 99) / 2, abs=2)
    assert ((top >= 0) & (top + side <= 100)).all()
    off = (left + side / 2 - 50).abs() / (100 - side).clamp(min=1)
    assert off.mean().item() == pytest.approx(0.19 if name == "uniform-centre" else 0.25, abs=0.03)


@pytest.mark.parametrize("name", ["normal", "normal-centre"])
def test_big_sleeps_crops(name, monkeypatch):
    side, top, left = places(name, monkeypatch)
    assert side.min() == 50
    assert side.max() == 95
    expected = (torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.8).clamp(0.5, 0.95)
    assert side.mean().item() == pytest.approx(100 * expected.mean().item(), abs=1)
    assert side.std().item() == pytest.approx(100 * expected.std().item(), abs=1)
    assert ((left >= 0) & (left + side <= 100) & (top >= 0)).all()


@pytest.mark.parametrize(
    ("name", "progress", "expected"),
    [
        ("uniform", 0.5, (30, 79)),
        ("uniform-rising", 0.5, (52, 79)),
        ("uniform-rising", 1.0, (75, 79)),
        ("normal", 0, (30, 80)),
    ],
)
def test_the_sizes_of_crops_can_be_chosen(name, progress, expected, monkeypatch):
    side, top, _ = places(name, monkeypatch, progress=progress, sizes=(0.3, 0.8))
    assert (side.min(), side.max()) == expected
    assert ((top >= 0) & (top + side <= 100)).all()


def test_the_mse_notebooks_and_pyttis_crops(monkeypatch):
    side, *_ = places("gaussian", monkeypatch)
    assert (side.min(), side.max()) == (10, 100)
    side, _, left = places("pytti", monkeypatch)
    assert side.max() == 100
    assert (left + side).max() > 130, "over the edge: the picture begins at 25 and ends at 125"


def test_overviews_come_early_and_crops_late():
    image = smooth_pictures(1, (64, 64))
    whole = crop_methods.cut(image, *(torch.tensor([value]) for value in (64.0, 0.0, 0.0)), 32).clamp(0, 1)
    for progress, count in ((0.0, 6), (0.5, 2)):
        views = Cutouts("overview", 32, 8)(image, Draws((0,)), progress)
        torch.testing.assert_close(views[:1], whole)
        grey = (views - views.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-6
        assert grey[:count].tolist() == [index % 2 == 1 for index in range(count)]
        assert not torch.isclose(views[count], whole[0], atol=0.01).all()


def test_augments_are_made_in_the_order_of_the_letters():
    image, draws = smooth_pictures(2), Draws((0, 1))
    plain = METHODS["pooling"].plain(image, draws, Cutouts("pooling", 32, 6))
    spec = Cutouts("pooling", 32, 6, augments="Er Af")
    views = letters.vary(plain, draws, spec)
    expected = letters.LETTERS["Er"](plain, draws.of("0Er"), spec)
    expected = letters.LETTERS["Af"](expected, draws.of("1Af"), spec)
    bare = letters.vary(torch.zeros_like(plain), draws, Cutouts("pooling", 32, 6, augments="none"))
    torch.testing.assert_close(views, expected + bare)
    assert 0 < bare.abs().mean() < 0.1


@pytest.mark.parametrize("letter", augments.LETTERS)
def test_a_letter_varies_each_view_alike_alone_and_in_a_batch(letter):
    image, cut = smooth_pictures(2, (64, 64)), Cutouts("original", 64, 4, augments=letter)
    views = cut(image, Draws((7, 8), step=2))
    torch.testing.assert_close(views[4:], cut(image[1:], Draws((8,), step=2)), atol=1e-5, rtol=1e-4)
    bare = Cutouts("original", 64, 4, augments="none")(image, Draws((7, 8), step=2))
    changed = (views - bare).abs().amax((1, 2, 3)) > 1e-4
    assert changed.any() == (letter != "Cr")


def test_letters_change_colours_and_rectangles_by_their_numbers():
    spec = Cutouts("original", 32, 400)
    plain = smooth_pictures(1, (32, 32)).expand(400, -1, -1, -1)
    jittered = letters.LETTERS["Ji"](plain, Draws((0,)), spec)
    gate, bright, contrast, saturation, hue = Draws((0,)).uniform("numbers", (400, 5))[0].unbind(1)
    k = int((gate < 0.7).nonzero()[0])
    view = ((plain[k] + 0.2 * bright[k] - 0.1).clamp(0, 1) * (0.9 + 0.2 * contrast[k])).clamp(0, 1)
    expected = recoloured(view, turn=0.2 * hue[k].item() - 0.1, times=0.9 + 0.2 * saturation[k].item())
    torch.testing.assert_close(jittered[k], expected, atol=1e-4, rtol=0)
    ramp = torch.arange(32.0).expand(400, 3, 32, 32) / 31
    resized = letters.LETTERS["Re"](ramp, Draws((0,)), spec)
    step = resized[:, 0, 0].diff().amax(1) * 31  # how much of the view a pixel spans
    assert step.max() <= 1.001
    assert step.min().item() == pytest.approx((0.1 * 0.75) ** 0.5, abs=0.1)
