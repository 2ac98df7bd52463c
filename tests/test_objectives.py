"""Distances, weights and stops agree with the published formulas, in value and in gradient."""

import pytest
import torch
from torch.nn import functional as F

from tests.test_gradients import PublishedReplaceGrad
from tests.toys import ToyPerceptor
from vqclip_nb import Settings, perceptor_names
from vqclip_nb.canvases.pixels.canvas import PixelsCanvas
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.errors import SettingsError
from vqclip_nb.objectives import Guide, Smoothness, Target, Term, great_circle, losses_of
from vqclip_nb.objectives.build import Builder
from vqclip_nb.objectives.embeddings import Embeddings
from vqclip_nb.rng import Draws
from vqclip_nb.schedules import Schedule


def published_prompt(seen, embeddings, weight, stop):
    """The Prompt module of the 2021 notebooks: (cutn, d) and (m, d) -> a number."""
    x, y = F.normalize(seen.unsqueeze(1), dim=2), F.normalize(embeddings.unsqueeze(0), dim=2)
    dists = x.sub(y).norm(dim=2).div(2).arcsin().pow(2).mul(2)
    dists = dists * torch.tensor(weight).sign()
    return abs(weight) * PublishedReplaceGrad.apply(dists, torch.maximum(dists, torch.tensor(stop))).mean()


class Passing:
    """A perceptor that was handed what it sees."""

    name, cut_size = "passing", 1

    def encode_image(self, batch):
        return F.normalize(batch.flatten(1), dim=1)


def views_as_they_are(image, draws, progress):
    return image.flatten(0, 1)


@pytest.mark.parametrize("weight", [1.0, 2.5, -1.0, -0.3])
@pytest.mark.parametrize("stop", [-float("inf"), -1.2, -0.9, 0.0, 0.9, 1.2])
def test_a_guide_pulls_as_published(weight, stop):
    draw = torch.Generator().manual_seed(1)
    seen = torch.randn(2, 8, 4, generator=draw, requires_grad=True)  # two pictures, eight views
    first, second = F.normalize(torch.randn(1, 3, 4, generator=draw), dim=-1), F.normalize(torch.ones(1, 1, 4), dim=-1)
    guide = Guide(Passing(), views_as_they_are, [Target("a", first, weight, stop), Target("b", second)])

    losses = guide(seen, Draws((0, 1)), 0.0)
    expected = {
        "a": torch.stack([published_prompt(picture, first[0], weight, stop) for picture in seen]),
        "b": torch.stack([published_prompt(picture, second[0], 1.0, -float("inf")) for picture in seen]),
    }
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)
        ours, theirs = (torch.autograd.grad(pull.sum(), seen, retain_graph=True)[0] for pull in (losses[name], loss))
        torch.testing.assert_close(ours, theirs)


def test_distance_is_that_of_the_sphere():
    east, north = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(great_circle(east, north), torch.tensor((torch.pi / 2) ** 2 / 2))


def test_the_same_text_twice_pulls_twice():
    perceptor, image = ToyPerceptor(), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    embedding = perceptor.encode_text(["red"])[None]
    cutouts = Cutouts("pooling", 16, 4)
    once, twice = (Guide(perceptor, cutouts, [Target("red", embedding)] * n)(image, Draws((0,)), 0) for n in (1, 2))
    torch.testing.assert_close(twice["red"], 2 * once["red"])


def test_smoothness_is_none_on_a_plain_picture():
    plain = torch.full((2, 3, 8, 8), 0.3)
    rough = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert Smoothness()(plain, Draws((0, 1)), 0)["smoothness"].tolist() == [0, 0]
    assert (Smoothness()(rough, Draws((0, 1)), 0)["smoothness"] > 0.1).all()


def test_a_term_weighs_its_losses_by_the_step_and_those_of_one_name_are_added():
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = Smoothness()(image, Draws((0, 1)), 0)["smoothness"]
    terms = [Term(Smoothness(), Schedule(((0, 0.0), (4, 2.0)))), Term(Smoothness(), 0.5)]
    for step, weight in ((0, 0.5), (1, 1.0), (9, 2.5)):
        losses = losses_of(terms, image, Draws((0, 1), step), 0)
        torch.testing.assert_close(losses, {"smoothness": weight * plain})


def test_a_region_leaves_the_loss_as_it_is_and_lets_gradients_through_where_it_is_not_0():
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    region = torch.zeros(1, 1, 8, 8)
    region[..., :4] = 1
    region[..., 0] = 0.5
    everywhere, within = (Term(Smoothness(), 3.0, each)(image, Draws((0, 1)), 0) for each in (None, region))
    torch.testing.assert_close(everywhere, within)
    expected, got = (torch.autograd.grad(each["smoothness"].sum(), image)[0] for each in (everywhere, within))
    torch.testing.assert_close(got, expected * region)


def test_embeddings_are_encoded_once_by_perceptor_texts_and_template():
    class Counting(ToyPerceptor):
        def encode_text(self, texts):
            encoded.extend(texts)
            return super().encode_text(["red" for _ in texts])

    encoded, saved, one, other = [], Embeddings(), Counting(), Counting()
    for _ in range(3):
        for perceptor, texts, template in (
            (one, ["red", "blue"], "{}"),
            (other, ["red", "blue"], "{}"),
            (one, ["red", "blue"], "a photo of {}"),
        ):
            assert saved.of_texts(perceptor, texts, template=template).shape == (2, 4)
    assert encoded == ["red", "blue", "red", "blue", "a photo of red", "a photo of blue"]


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("demo", {"demo": 1}),
        ("ViT-B/32:1 + RN50:.5", {"ViT-B/32": 1, "RN50": 0.5}),
        (r"C:\models\mine.pt + D:\other.pt:2e-1", {r"C:\models\mine.pt": 1, r"D:\other.pt": 0.2}),
        ("open_clip/hf-hub:laion/some:3", {"open_clip/hf-hub:laion/some": 3}),
    ],
)
def test_a_perceptor_s_weight_is_the_number_behind_its_last_colon(text, weights):
    assert perceptor_names.parse(text) == weights


@pytest.mark.parametrize("text", ["demo +", "demo:0", "demo:0 + RN50:0", "demo:-1", ":2", "demo:1e999"])
def test_perceptors_that_cannot_be_are_one_line(text):
    with pytest.raises(SettingsError, match=r"^perceptor[^\n]*$"):
        Settings(perceptor=text)


def built(**settings):
    """The terms of a toy, without smoothness, and the losses that they find in a picture, with its gradient."""
    settings = Settings(smoothness=0.0, cutn=4, **settings)
    perceptor, canvas = Worded(), PixelsCanvas(size=(24, 16), seeds=settings.seeds)
    terms = Builder(canvas, {"demo": [perceptor]}, device=torch.device("cpu"))(settings)
    image = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(5)).requires_grad_()
    cutouts = Cutouts(settings.cutouts, perceptor.cut_size, 4, settings.cut_pow, settings.augments)
    embeddings = perceptor.encode_image(cutouts(image, Draws((0,)).of(perceptor.name), 0.0))
    return losses_of(terms, image, Draws((0,)), 0.0), perceptor, embeddings, image


class Worded(ToyPerceptor):
    """Any text has an embedding of its own."""

    def encode_text(self, texts):
        seeds = [torch.Generator().manual_seed(sum(map(ord, text))) for text in texts]
        return F.normalize(torch.stack([torch.randn(4, generator=seed) for seed in seeds]), dim=1)


def same(ours, theirs, image):
    torch.testing.assert_close(ours, theirs)
    ours, theirs = (torch.autograd.grad(loss.sum(), image, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(ours, theirs)


def test_noise_prompts_are_those_of_the_2021_notebooks():
    losses, _, seen, image = built(prompt="red", noise_prompts="14575:0.5 | 7:-0.2")
    for seed, weight in ((14575, 0.5), (7, -0.2)):
        embed = torch.empty([1, 4]).normal_(generator=torch.Generator().manual_seed(seed))
        same(losses[f"noise {seed}"][0], published_prompt(seen, embed, weight, -float("inf")), image)


def test_templates_are_averaged_as_clip_s_authors_did():
    templates = ("a photo of {}", "{}, an oil painting", "a {} in the snow")
    losses, perceptor, seen, image = built(prompt="hill | road:-0.5", templates=" | ".join(templates))
    for text, weight in (("hill", 1.0), ("road", -0.5)):
        embeddings = perceptor.encode_text([template.format(text) for template in templates])
        embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
        mean = embeddings.mean(dim=0)
        same(losses[text][0], published_prompt(seen, (mean / mean.norm())[None], weight, -float("inf")), image)


def test_textoff_pushes_away_from_words_for_writing():
    losses, perceptor, seen, image = built(prompt="hill [0 0 50% 100%]", textoff=0.1)
    away = perceptor.encode_text(["text", "words", "letters", "handwriting", "a caption", "a watermark"])
    assert [*losses] == ["writing", "hill [0 0 50% 100%]"], "writing is looked for everywhere"
    assert losses["writing"][0] < 0
    losses, _, seen, image = built(prompt="hill", textoff=0.1)
    same(losses["writing"][0], published_prompt(seen, away, -0.1, -float("inf")), image)


def test_a_text_of_weight_minus_1_is_big_sleep_s_text_min():
    losses, perceptor, seen, image = built(prompt="hill | road:-1.0", distance="cosine")
    road = perceptor.encode_text(["road"])
    same(losses["road"][0], 100 * torch.cosine_similarity(road, seen, dim=-1).mean(), image)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"templates": "a photo"}, "templates must hold {}"),
        ({"noise_prompts": "twelve"}, "noise_prompts must be seed:weight"),
        ({"noise_prompts": "12:0.1:3"}, "noise_prompts must be seed:weight"),
    ],
)
def test_extra_prompts_that_cannot_be_are_one_line(settings, message):
    with pytest.raises(SettingsError, match=rf"^{message}[^\n]*$"):
        Settings(**settings)


class SigLIP(Worded):
    """A toy that was trained by SigLIP's loss."""

    sigmoid = (20.0, -3.0)


def test_siglip_s_own_loss_is_the_published_one():
    """-log sigmoid(z (t x.y + b)), with z = 1 for a text that is meant and -1 for one that is not."""
    perceptor, image = SigLIP(), torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    settings = Settings(prompt="hill:0.5 | road:-0.3", distance="sigmoid", cutn=4, smoothness=0.0, variations=2)
    canvas = PixelsCanvas(size=(16, 16), seeds=(0, 1))
    terms = Builder(canvas, {"demo": [perceptor]}, device=torch.device("cpu"))(settings)
    losses = losses_of(terms, image, Draws((0, 1)), 0.0)
    cutouts = Cutouts(settings.cutouts, perceptor.cut_size, 4, settings.cut_pow, settings.augments)
    embeddings = perceptor.encode_image(cutouts(image, Draws((0, 1)).of(perceptor.name), 0.0)).unflatten(0, (2, 4))
    for text, weight, z in (("hill", 0.5, 1), ("road", 0.3, -1)):
        logits = embeddings @ perceptor.encode_text([text])[0] * 20 - 3
        same(losses[text], weight * -F.logsigmoid(z * logits).mean(1), image)


def test_siglip_s_loss_without_a_siglip_is_one_line():
    canvas = PixelsCanvas(size=(16, 16), seeds=(0,))
    with pytest.raises(SettingsError, match=r"^distance sigmoid needs a SigLIP as perceptor, got demo[^\n]*$"):
        Builder(canvas, {"demo": [Worded()]}, device=torch.device("cpu"))(Settings(distance="sigmoid"))
