"""What a run paints, held to a plain loop that is written here a second time from the published description.

Decode, cut, embed, sum the weighted distances and losses, follow the gradient by Adam, show the debiased average.
"""

import pytest
import torch
from torch.nn import functional as F

from tests.toys import ToyPerceptor, ToyVQGAN, toy_models
from vqclip_nb import Settings, paint
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.rng import Draws, generator

PROMPTS = {"red": 1.0, "blue": -0.4}
STEPS = 5
KEYS = {"prompt": "red | blue:-0.4", "size": (32, 24), "steps": STEPS, "device": "cpu", "every": 1}


@pytest.fixture(autouse=True)
def toys():
    with toy_models():
        yield


def angle(seen, expected):
    """Half the squared angle between unit vectors."""
    cosine = (seen * expected).sum(-1).clamp(-1, 1)
    return cosine.acos().square() / 2


def reference(start, render, *, cutn, lr, smoothness, likeness, decay, weight=lambda step: 1.0, seed=0):
    """The picture that is shown at each step, and the last one's loss, of one picture painted with toys."""
    perceptor, cutouts = ToyPerceptor().double(), Cutouts("pooling", 16, cutn)
    texts = perceptor.encode_text(list(PROMPTS)).double()
    z = start.double().clone()
    moments, shown, pictures = (torch.zeros_like(z), torch.zeros_like(z)), 0.0, []
    averages = torch.zeros_like(z)
    for step in range(STEPS):
        z.requires_grad_()
        image = render(z)
        views = cutouts(image, Draws((seed,), step).of("toy"))
        losses = sum(
            share * angle(perceptor.encode_image(views), text).mean()
            for share, text in zip(PROMPTS.values(), texts, strict=True)
        )
        rough = image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()
        loss = weight(step) * losses + smoothness * rough + likeness * (z - start).square().mean() / 2
        (gradient,) = torch.autograd.grad(loss, z)
        first, second = moments
        moments = (0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2)
        sizes = (moments[0] / (1 - 0.9 ** (step + 1)), moments[1] / (1 - 0.999 ** (step + 1)))
        rate = lr(step) if callable(lr) else lr
        z = (z - rate * sizes[0] / (sizes[1].sqrt() + 1e-8)).detach().clamp(0, 1)
        averages = decay * averages + (1 - decay) * z
        shown = decay * shown + (1 - decay) * image.detach()
        pictures.append(shown / (1 - decay ** (step + 1)))
    if decay:
        pictures[-1] = render(averages / (1 - decay**STEPS))  # the result is of the averaged parameters
    return pictures, float(loss.detach())


def pixels_start(seed):
    return (0.5 + 0.1 * torch.randn(3, 24, 32, generator=generator(seed, 0, "pixels"))).clamp(0, 1)[None]


@pytest.mark.parametrize("decay", [0.0, 0.8])
@pytest.mark.parametrize(("smoothness", "likeness"), [(0.0, 0.0), (2.5, 0.0), (0.7, 30.0)])
def test_pixels_are_painted_as_by_a_plain_loop(decay, smoothness, likeness):
    run_settings = Settings(
        **KEYS, canvas="pixels", cutn=3, lr=0.02, smoothness=smoothness, init_weight=likeness, average=decay, seed=4
    )
    frames = list(paint(run_settings))
    numbers = {"smoothness": smoothness, "likeness": likeness, "decay": decay}
    pictures, loss = reference(pixels_start(4), lambda z: z, cutn=3, lr=0.02, seed=4, **numbers)
    for frame, picture in zip(frames, pictures, strict=True):
        torch.testing.assert_close(frame.image.double(), picture.detach(), rtol=0, atol=2e-4)
    assert frames[-1].loss == pytest.approx(loss, abs=1e-4)


def test_keyframes_and_a_perceptor_s_weight_are_followed_as_by_a_plain_loop():
    run_settings = Settings(
        **KEYS, canvas="pixels", cutn=3, lr="1:(0.02), 3:(0.06)", smoothness=1, average=0, perceptor="demo:0.3"
    )
    frames = list(paint(run_settings))
    rate = {0: 0.02, 1: 0.02, 2: 0.04, 3: 0.06, 4: 0.06}
    numbers = {"smoothness": 1, "likeness": 0, "decay": 0}
    pictures, loss = reference(pixels_start(0), lambda z: z, cutn=3, lr=rate.get, weight=lambda step: 0.3, **numbers)
    for frame, picture in zip(frames[:-1], pictures, strict=False):
        torch.testing.assert_close(frame.image.double(), picture.detach(), rtol=0, atol=2e-4)
    assert frames[-1].loss == pytest.approx(loss, abs=1e-4)


def test_codes_are_decoded_at_their_nearest_and_followed_straight_through():
    """One step of the VQGAN canvas: the gradient at the codes is the one at z."""
    run_settings = Settings(**KEYS | {"steps": 1}, cutn=4, lr=0.3, smoothness=0, average=0)
    vqgan = ToyVQGAN()
    columns, rows = 32 // vqgan.factor, 24 // vqgan.factor
    chosen = torch.randint(len(vqgan.codebook), (-(-rows // 4), -(-columns // 4)), generator=generator(0, 0, "codes"))
    z = F.interpolate(vqgan.codebook[chosen].movedim(-1, 0)[None], (rows, columns), mode="bilinear")

    def decoded(z):
        nearest = torch.cdist(z.flatten(2).mT, vqgan.codebook[None]).argmin(-1)
        codes = vqgan.codebook[nearest].mT.unflatten(2, (rows, columns))
        return codes.requires_grad_(), ((vqgan.decode(codes) + 1) / 2).clamp(0, 1)

    codes, image = decoded(z)
    perceptor = ToyPerceptor()
    embeddings = perceptor.encode_image(Cutouts("pooling", 16, 4)(image, Draws((0,), 0).of("toy")))
    texts = perceptor.encode_text(list(PROMPTS))
    loss = sum(w * angle(embeddings, text).mean() for w, text in zip(PROMPTS.values(), texts, strict=True))
    (gradient,) = torch.autograd.grad(loss, codes)
    stepped = (z - 0.3 * gradient / (gradient.abs() + 1e-8)).clamp(-1, 1)  # Adam's first step

    from vqclip_nb.session import build_painting

    painting = build_painting(run_settings)
    torch.testing.assert_close(painting.canvas.z.detach(), z)
    frame = painting.step(look=True)
    assert frame.loss == pytest.approx(float(loss.detach()), abs=1e-5)
    moving = gradient.abs() > 1e-6  # elsewhere the step is a division of nothing by nothing
    assert moving.any()
    torch.testing.assert_close(painting.canvas.z.detach()[moving], stepped[moving], rtol=0, atol=1e-3)
    torch.testing.assert_close(frame.image, image.detach())


def test_a_palette_paints_with_few_colours_which_learn_too():
    from vqclip_nb.canvases.pixels import PixelsOptions
    from vqclip_nb.canvases.pixels.canvas import PixelsCanvas

    canvas = PixelsCanvas(size=(24, 16), seeds=(0, 1), options=PixelsOptions(palette=4))
    image = canvas()
    shown = [image[k].flatten(1).T.unique(dim=0) for k in range(2)]
    assert all(len(colours) <= 4 for colours in shown)
    for k in range(2):
        apart = (canvas.pixels[k].flatten(1).T[:, None] - canvas.palette[k][None]).square().sum(-1)
        nearest = canvas.palette[k][apart.argmin(1)].T.reshape(3, 16, 24)
        torch.testing.assert_close(image[k], nearest)
    weights = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    (weights * image).sum().backward()
    torch.testing.assert_close(canvas.pixels.grad, weights)
    torch.testing.assert_close(canvas.palette.grad.sum(1), weights.sum((2, 3)))
