"""Losses without a perceptor are their published formulas, in value and gradient."""

import numpy as np
import pytest
import torch
from PIL import ImageColor

from tests.toys import ToyPerceptor, ToyVQGAN
from vqclip_nb import Settings, loss_names, models
from vqclip_nb.canvases.pixels import PixelsOptions
from vqclip_nb.canvases.pixels.canvas import PixelsCanvas
from vqclip_nb.canvases.vqgan.canvas import VQGANCanvas
from vqclip_nb.errors import SettingsError
from vqclip_nb.objectives.build import Builder
from vqclip_nb.rng import Draws

EXAMPLES = ("edges", "edges(navy)", "palette(navy, #fc0, white)", "saturation", "symmetry")


def computed(name, image):
    image = image.clone().requires_grad_()
    (loss,) = loss_names.make(name)(image, Draws(tuple(range(len(image)))), 0.5).values()
    (gradient,) = torch.autograd.grad(loss.sum(), image)
    assert loss.shape == (len(image),)
    assert gradient.isfinite().all()
    return loss, gradient


def test_every_loss_is_finite_on_plain_pictures_and_keeps_pictures_apart():
    pictures = torch.cat([torch.zeros(1, 3, 8, 6), torch.ones(1, 3, 8, 6), torch.rand(1, 3, 8, 6)])
    assert {name.partition("(")[0] for name in EXAMPLES} == loss_names.LOSSES.keys() - {"range", "aesthetic"}
    for name in EXAMPLES:
        together, _ = computed(name, pictures)
        alone = torch.cat([computed(name, picture[None])[0] for picture in pictures])
        torch.testing.assert_close(together, alone)


def test_saturation_is_the_colourfulness_of_hasler_and_suesstrunk():
    image = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    red, green, blue = image[0].double().numpy().reshape(3, -1)
    first, second = red - green, 0.5 * (red + green) - blue
    deviation = np.sqrt(first.var(ddof=1) + second.var(ddof=1))
    right = deviation + 0.3 * np.sqrt(first.mean() ** 2 + second.mean() ** 2)
    loss, gradient = computed("saturation", image)
    assert abs(loss.item() + right) < 1e-3
    assert computed("saturation", image - 1e-2 * gradient)[0] < loss, "a step along it makes the picture more colourful"


def test_symmetry_compares_the_left_with_the_right():
    image = torch.tensor([[0.0, 0.5, 1.0]]).expand(1, 3, 2, 3)
    assert computed("symmetry", image)[0].item() == np.float32(2 / 3), "1 at both sides, 0 in the middle"
    assert computed("symmetry", torch.tensor([[0.2, 0.5, 0.2]]).expand(1, 3, 2, 3))[0].item() == 0


@pytest.mark.parametrize(("name", "right"), [("edges", [0.75**2, 0.0]), ("edges(black)", [0.25**2, 1.0])])
def test_edges_are_the_mean_distance_of_the_frame_from_a_colour(name, right):
    image = torch.full((2, 3, 40, 60), 0.25)
    image[1] = 1.0
    image[:, :, 2:-2, 3:-3] = 0.0
    torch.testing.assert_close(computed(name, image)[0], torch.tensor(right))


def test_palette_is_the_mean_distance_from_the_nearest_colour():
    image = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    names = ("navy", "#ffcc00", "white")
    palette = np.array([ImageColor.getrgb(name) for name in names]) / 255
    pixels = image.numpy().transpose(0, 2, 3, 1).reshape(2, -1, 1, 3)
    apart = np.sqrt(((pixels - palette) ** 2).sum(-1))  # (2, pixels, colours)
    nearest = palette[apart.argmin(-1)].reshape(2, 9, 7, 3).transpose(0, 3, 1, 2)
    away = image.numpy() - nearest
    loss, gradient = computed(f"palette({', '.join(names)})", image.float())
    np.testing.assert_allclose(loss.detach(), apart.min(-1).mean(-1), rtol=1e-5)
    slope = away / np.sqrt((away**2).sum(1, keepdims=True)) / (9 * 7)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)


def test_range_is_what_a_picture_lies_beyond_black_and_white():
    """Disco Diffusion's, of a picture in [-1, 1], with its gradient at the latents."""
    settings = Settings(prompt="red", smoothness=0.0, losses="range:150")
    canvas = VQGANCanvas(ToyVQGAN(), size=(32, 32), seeds=(0,))
    canvas.vqgan.gain.data.fill_(1.5)  # so that colours lie beyond
    (loss,) = Builder(canvas, {"demo": []}, device=torch.device("cpu"))(settings)
    (value,) = loss(canvas(), Draws((0,)), 0.0).values()
    (ours,) = torch.autograd.grad(value.sum(), canvas.z)
    codes = canvas.z.detach().clone()
    nearest = torch.cdist(codes.movedim(1, -1).reshape(-1, 3), canvas.vqgan.codebook).argmin(1)
    picked = canvas.vqgan.codebook[nearest].view(1, 4, 4, 3).movedim(-1, 1).requires_grad_()
    shown = canvas.vqgan.decode(picked)
    expected = 150 * (shown - shown.clamp(-1, 1)).pow(2).mean([1, 2, 3])
    assert expected > 1
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(ours, torch.autograd.grad(expected.sum(), picked)[0])
    assert canvas.uncut is None, "nothing of the step stays in memory"


def test_a_fixed_palette_shows_its_colours_and_no_others():
    settings = Settings(canvas="pixels", fixed_palette="navy, #ffcc00 white", prompt="red", steps=5, variations=2)
    options = PixelsOptions(**settings.canvas_options)
    canvas = PixelsCanvas(size=(24, 16), seeds=(0, 1), options=options)
    shown = canvas()
    shown.sum().backward()
    assert (canvas.pixels.grad == 1).all(), "gradients reach the pixels as they are"
    canvas.choose(1)
    assert torch.equal(canvas(), shown[1:])
    allowed = {ImageColor.getrgb(name) for name in ("navy", "#ffcc00", "white")}
    pixels = shown.detach().mul(255).round().int().movedim(1, -1).reshape(-1, 3)
    assert {tuple(pixel) for pixel in pixels.tolist()} <= allowed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"losses": "palette:1"}, "takes colours, got 0"),
        ({"losses": "palette(navy, blu):1"}, "got 'blu'"),
        ({"losses": "edges(navy, red)"}, "takes one colour, got 2"),
        ({"losses": "symmetry(red)"}, "takes no colours"),
        ({"canvas": "pixels", "fixed_palette": "blu"}, "fixed_palette must be colours"),
        ({"canvas": "pixels", "fixed_palette": "blue", "palette": 3}, "palette must be left out"),
    ],
)
def test_colours_that_cannot_be_are_one_line(settings, message):
    with pytest.raises(SettingsError, match=rf"^[^\n]*{message}[^\n]*$"):
        Settings(**settings)


def test_range_on_a_canvas_that_cuts_nothing_off_is_one_line():
    settings, canvas = Settings(canvas="pixels", losses="range"), PixelsCanvas(size=(16, 16), seeds=(0,))
    with pytest.raises(SettingsError, match="range has no effect"):
        Builder(canvas, {"demo": []}, device=torch.device("cpu"))(settings)


def test_the_weight_of_a_palette_may_be_keyframes():
    weights = loss_names.parse("palette(navy, white):0:(1), 60:(0) | palette(red):2")
    assert [*weights] == ["palette(navy, white)", "palette(red)"]
    assert weights["palette(navy, white)"].at(30) == 0.5


class Rated(ToyPerceptor):
    """A toy by the name of a CLIP whose head is published."""

    name = "ViT-B/32"


def test_aesthetic_is_the_published_head_of_what_is_seen(tmp_path, monkeypatch):
    """pixray's: 0.02 times the mean square of 10 less the rating, a linear head on unit embeddings."""
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path))
    head = torch.nn.Linear(4, 1)
    (tmp_path / "aesthetic").mkdir()
    torch.save(head.state_dict(), tmp_path / "aesthetic" / "sa_0_4_vit_b_32_linear.pth")
    image = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for prompt, weight in (("red | blue", 0.5), ("red [0 0 100% 100%] | blue [0 0 50% 100%]:0.5", 0.25)):
        settings = Settings(prompt=prompt, losses="aesthetic:0.5", smoothness=0.0, cutn=4, variations=2, size=(24, 24))
        perceptor, canvas = Rated(), PixelsCanvas(size=(24, 24), seeds=(0, 1))
        (first, *_) = Builder(canvas, {"demo": [perceptor]}, device=torch.device("cpu"))(settings)
        views = first.objective.cutouts(image, Draws((0, 1)).of(first.objective.stream), 0.0)
        rating = head(torch.nn.functional.normalize(perceptor.encode_image(views), dim=-1)).view(2, -1)
        expected = weight * 0.02 * (rating - 10).square().mean(1)
        loss = first(image, Draws((0, 1)), 0.0)["aesthetic"]
        torch.testing.assert_close(loss, expected)
        ours, theirs = (torch.autograd.grad(each.sum(), image, retain_graph=True)[0] for each in (loss, expected))
        torch.testing.assert_close(ours, theirs)


def test_aesthetic_without_its_head_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path))
    canvas, settings = PixelsCanvas(size=(16, 16), seeds=(0,)), Settings(prompt="red", losses="aesthetic")
    with pytest.raises(SettingsError, match=r"^the loss aesthetic has no head for demo; [^\n]*ViT-B/32[^\n]*$"):
        Builder(canvas, {"demo": [ToyPerceptor()]}, device=torch.device("cpu"))(settings)
    build = Builder(canvas, {"demo": [Rated()]}, device=torch.device("cpu"))
    with pytest.raises(models.CannotFetch, match=r"^the loss aesthetic needs sa_0_4_vit_b_32_linear.pth [^\n]*$"):
        build(settings)
    (tmp_path / "aesthetic").mkdir()
    torch.save({"weight": torch.zeros(3)}, tmp_path / "aesthetic" / "sa_0_4_vit_b_32_linear.pth")
    with pytest.raises(models.BrokenWeights, match=r"must hold weight"):
        build(settings)
