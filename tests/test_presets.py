"""Each recipe by name: its settings are allowed, and one step of it is the published formula."""

import pytest
import torch
from torch.nn import functional as F

from tests.toys import ToyBigGAN, ToyPerceptor
from vqclip_nb import presets
from vqclip_nb.canvases.biggan.canvas import BigGANCanvas
from vqclip_nb.canvases.pixels.canvas import PixelsCanvas
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.objectives import losses_of
from vqclip_nb.objectives.build import Builder
from vqclip_nb.rng import Draws
from vqclip_nb.settings import Settings

RECIPES = (
    *("crowson", "pooling", "updated", "nerdyrodent", "mse"),
    *("bigsleep", "deepdaze", "aphantasia", "pixray", "pytti"),
)


def published_pull(recipe, seen, text):
    """The loss of one picture towards one text: unit vectors (cutn, d) and (d,)."""
    cosines = F.cosine_similarity(seen, text[None])
    if recipe == "bigsleep":
        return (-100 * cosines).mean()
    if recipe == "deepdaze":
        averaged = F.cosine_similarity(seen.mean(0), text, dim=0)
        return -100 * (0.3 * averaged + 0.7 * cosines.mean())
    if recipe == "aphantasia":
        return -cosines.mean()
    return (2 * ((seen - text[None]).norm(dim=1) / 2).arcsin() ** 2).mean()


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_allowed(name):
    settings = Settings(**presets.load(name).settings)
    assert settings.steps > 0
    assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("recipe", RECIPES)
def test_one_step_of_a_recipe_is_the_published_formula(recipe):
    """Losses and their gradient at the picture, for two pictures, two texts and one that is pushed away."""
    settings = Settings(**presets.load(recipe).settings).replace(prompt="red | blue:0.5 | green:-0.3", variations=2)
    perceptor = ToyPerceptor()
    canvas = PixelsCanvas(size=(48, 40), seeds=settings.seeds)
    canvas.remember()
    with torch.no_grad():
        canvas.pixels.add_(0.01)
    names = settings.perceptor.split(" + ")
    terms = Builder(canvas, {name: [perceptor] for name in names}, device=torch.device("cpu"))(settings)
    draws, image = Draws(settings.seeds, 3), canvas().detach().requires_grad_()
    losses = losses_of(terms, image, draws, 0.2)

    spec = (settings.cutouts, perceptor.cut_size, round(settings.cutn), settings.cut_pow, settings.augments)
    views = Cutouts(*spec)(image, draws.of(perceptor.name), 0.2)
    seen = perceptor.encode_image(views).unflatten(0, (2, -1))
    expected = torch.zeros(2)
    for text, weight in (("red", 1.0), ("blue", 0.5), ("green", -0.3)):
        meant = perceptor.encode_text([text])[0]
        pulls = torch.stack([published_pull(recipe, each, meant) for each in seen])
        expected = expected + len(names) * weight * pulls
    if recipe == "mse":  # mse(z, z_orig) * .5 / 2
        expected = expected + 0.5 / 2 * (canvas.pixels - canvas.start_0).square().mean((1, 2, 3))
    if recipe == "pytti":
        rough = image.diff(dim=-1).square().mean((1, 2, 3)) + image.diff(dim=-2).square().mean((1, 2, 3))
        expected = expected + 0.02 * rough
    total = torch.stack(list(losses.values())).sum(0)
    torch.testing.assert_close(total, expected)
    ours, theirs = (torch.autograd.grad(each.sum(), image, retain_graph=True)[0] for each in (total, expected))
    torch.testing.assert_close(ours, theirs)


def test_big_sleep_adds_its_penalties_whole():
    settings = Settings(**presets.load("bigsleep").settings)
    canvas = BigGANCanvas(ToyBigGAN((16, 16)), size=(16, 16), seeds=(0,))
    canvas.configure(canvas.options.model_copy(update={"penalty": settings.canvas_options["penalty"]}))
    logits = canvas.logits[0].sigmoid()
    expected = ((50 * logits.sort(dim=1).values[:, :-1]) ** 2).mean()
    torch.testing.assert_close(canvas.penalties(0)["classes"][0], expected)


def test_the_mse_notebook_lets_go_by_a_fifth_every_fifty_steps():
    weight = Settings(**presets.load("mse").settings).init_weight
    assert [round(weight.at(step), 6) for step in (0, 49, 50, 120, 249, 250, 400)] == [0.5, 0.5, 0.4, 0.3, 0.1, 0, 0]
