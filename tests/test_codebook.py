"""Codes are drawn as published: straight through a multinomial draw, and by Gumbel-softmax."""

import pytest
import torch
from torch.nn import functional as F

from tests.toys import ToyBigGAN, ToyVQGAN
from vqclip_nb import Settings
from vqclip_nb.canvases.biggan import BigGANOptions
from vqclip_nb.canvases.biggan.canvas import BigGANCanvas
from vqclip_nb.canvases.vqgan import VQGANOptions
from vqclip_nb.canvases.vqgan.canvas import CodebookCanvas, sample_index
from vqclip_nb.errors import SettingsError
from vqclip_nb.rng import Draws

DRAWS = Draws((3, 4), step=7)


def canvas(**options):
    return CodebookCanvas(ToyVQGAN(), size=(24, 16), seeds=(3, 4), options=VQGANOptions(**options))


def pull(image):
    """Something to make small, of which gradients are asked."""
    return (image - torch.linspace(0, 1, image[0].numel()).view(image.shape[1:])).square().sum()


def same_gradient(ours, published, logits):
    torch.testing.assert_close(ours, published)
    ours, published = (torch.autograd.grad(pull(each), logits, retain_graph=True)[0] for each in (ours, published))
    assert published.abs().sum() > 0
    torch.testing.assert_close(ours, published)


def shown(z):
    """The toy's picture of latents within its range."""
    return (F.interpolate(z, scale_factor=8) + 1) / 2


def test_a_multinomial_draw_has_the_gradient_of_its_probabilities():
    """one_hot + p - p.detach(), times the codebook, as in the notebook of codebook sampling."""
    ours = canvas(codes="multinomial", temperature=0.7)
    ours.draws = DRAWS
    probabilities = (ours.logits / 0.7).softmax(1)  # (n, codes, h, w)
    places = DRAWS.uniform("codes", (2, 3))
    index = torch.zeros(2, 2, 3, dtype=torch.long)
    for n, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(3)).tolist():
        reached = 0.0
        for code, share in enumerate(probabilities[n, :, row, column].tolist()):
            reached += share
            if places[n, row, column] < reached:
                index[n, row, column] = code
                break
    one_hot = F.one_hot(index, 125).movedim(-1, 1) + probabilities - probabilities.detach()
    published = torch.einsum("nkhw,kc->nchw", one_hot, ours.vqgan.codebook)
    same_gradient(ours(), shown(published), ours.logits)


def test_codes_are_drawn_as_often_as_they_are_probable():
    shares = torch.tensor([0.1, 0.0, 0.6, 0.3]).view(1, 4, 1, 1).expand(1, 4, 100, 100)
    index = sample_index(shares, torch.rand(1, 100, 100, generator=torch.Generator().manual_seed(0)))
    counts = torch.bincount(index.flatten(), minlength=4) / index.numel()
    torch.testing.assert_close(counts, shares[0, :, 0, 0], atol=0.02, rtol=0)
    assert counts[1] == 0


def test_gumbel_softmax_is_torch_s(monkeypatch):
    ours = canvas(codes="gumbel", temperature=0.5)
    ours.draws = DRAWS
    noise = DRAWS.gumbel("codes", ours.logits.shape[1:])
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self, **_: self.copy_((-noise).exp()))
    one_hot = F.gumbel_softmax(ours.logits, tau=0.5, hard=True, dim=1)
    monkeypatch.undo()
    published = torch.einsum("nkhw,kc->nchw", one_hot, ours.vqgan.codebook)
    same_gradient(ours(), shown(published), ours.logits)


def test_classes_of_biggan_are_drawn_by_gumbel_softmax(monkeypatch):
    options = BigGANOptions(gumbel=True, class_temperature=0.5)
    ours = BigGANCanvas(ToyBigGAN((24, 16)), size=(24, 16), seeds=(3, 4), options=options)
    ours.draws = DRAWS
    noise = DRAWS.gumbel("classes", ours.logits.shape[1:])
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self, **_: self.copy_((-noise).exp()))
    published = F.gumbel_softmax(ours.logits, tau=0.5, hard=True)
    monkeypatch.undo()
    classes = ours.classes()
    torch.testing.assert_close(classes, published)
    slope = torch.linspace(-1, 1, 5)
    ours, published = (torch.autograd.grad((slope * each).sum(), ours.logits)[0] for each in (classes, published))
    torch.testing.assert_close(ours, published)


def test_each_step_draws_anew_and_a_picture_to_keep_shows_the_likeliest():
    ours = canvas(codes="multinomial")
    pictures = []
    for draws in (DRAWS, DRAWS, Draws((3, 4), step=8), None):
        ours.draws = draws
        pictures.append(ours())
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    likeliest = ours.vqgan.codebook[ours.logits.argmax(1)].movedim(-1, 1)
    torch.testing.assert_close(pictures[3], shown(likeliest))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codes": "gumbel", "tidy": 3}, "tidy must be left out"),
        ({"canvas": "biggan/512", "gumbel": True, "max_classes": 3}, "max_classes must be left out"),
    ],
)
def test_options_that_exclude_each_other_are_one_line(settings, message):
    with pytest.raises(SettingsError, match=rf"^{message}[^\n]*$"):
        Settings(**settings)
