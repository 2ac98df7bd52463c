"""Each preset by name: its settings are allowed, and one step of it is the published formula."""

import pytest
import torch
from torch.nn import functional as F

from tests.test_gradients import PublishedReplaceGrad, published_quantize
from tests.test_optimizers import adamp_alone
from tests.toys import ToyBigGAN, ToyPerceptor, ToyVQGAN
from vqclip_nb import canvases, presets
from vqclip_nb.canvases.biggan.canvas import BigGANCanvas
from vqclip_nb.canvases.fourier.canvas import FourierCanvas
from vqclip_nb.canvases.siren.canvas import SirenCanvas
from vqclip_nb.canvases.vqgan.canvas import CodebookCanvas, VQGANCanvas
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.objectives.build import Builder
from vqclip_nb.painting import Painting
from vqclip_nb.rng import Draws
from vqclip_nb.schedules import value_at
from vqclip_nb.settings import Settings

PRESETS = (
    *("crowson", "codebook", "pooling", "updated", "nerdyrodent", "mse"),
    *("bigsleep", "deepdaze", "aphantasia", "pixray", "pytti"),
)


def published_pull(preset, seen, text):
    """The loss of one picture towards one text: unit vectors (cutn, d) and (d,)."""
    cosines = F.cosine_similarity(seen, text[None])
    if preset == "bigsleep":
        return (-100 * cosines).mean()
    if preset == "deepdaze":
        averaged = F.cosine_similarity(seen.mean(0), text, dim=0)
        return -100 * (0.3 * averaged + 0.7 * cosines.mean())
    if preset == "aphantasia":
        return -cosines.mean()
    return (2 * ((seen - text[None]).norm(dim=1) / 2).arcsin() ** 2).mean()


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_allowed(name):
    settings = Settings(**presets.load(name).settings)
    assert settings.steps > 0
    assert Settings.from_json(settings.to_json()) == settings


def published_picture(preset, canvas, draws):
    """The preset's picture of the canvas's parameters, in [0, 1], by the published formulas alone."""
    if preset == "bigsleep":
        classes = canvas.logits.sigmoid()
        return clamped((canvas.biggan.decode(torch.cat([canvas.z, classes], -1)) + 1) / 2)
    if preset == "deepdaze":
        height, width = canvas.size[::-1]
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in (height, width)), indexing="ij")
        pictures = []
        for n in range(2):
            values = torch.stack([y, x], -1).view(-1, 2)
            for weight, bias in zip(canvas.weights[:-1], canvas.biases[:-1], strict=True):
                values = torch.sin(30 * F.linear(values, weight[n], bias[n]))
            colour = F.linear(values, canvas.weights[-1][n], canvas.biases[-1][n])
            pictures.append(colour.T.reshape(3, height, width))
        return clamped((torch.stack(pictures) + 1) / 2)
    if (
        preset == "aphantasia"
    ):  # its contrast divides by the picture's deviation; ours is fixed, and as in test_canvases
        return canvas()
    codebook = canvas.vqgan.codebook
    if preset == "codebook":
        probabilities = canvas.logits.movedim(1, -1).softmax(-1)  # (n, h, w, codes)
        reached = probabilities.detach().cumsum(-1) > draws.uniform("codes", (5, 6))[..., None]
        one_hot = F.one_hot(reached.int().argmax(-1), len(codebook)).float()
        codes = PublishedReplaceGrad.apply(one_hot, probabilities) @ codebook
    else:
        codes = published_quantize(canvas.z.movedim(1, -1), codebook)
    return clamped((canvas.vqgan.decode(codes.movedim(-1, 1)) + 1) / 2)


class PublishedClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        ctx.save_for_backward(value)
        return value.clamp(0, 1)

    @staticmethod
    def backward(ctx, grad):
        (value,) = ctx.saved_tensors
        return grad * (grad * (value - value.clamp(0, 1)) >= 0)


clamped = PublishedClamp.apply


def published_loss(preset, settings, canvas, perceptor, draws):
    """The sum of the losses of each of the two pictures, (2,)."""
    image = published_picture(preset, canvas, draws)
    spec = (settings.cutouts, perceptor.cut_size, round(settings.cutn), settings.cut_pow, settings.augments)
    views = Cutouts(*spec)(image, draws.of(perceptor.name), 0.0)
    embeddings = perceptor.encode_image(views).unflatten(0, (2, -1))
    loss = torch.zeros(2)
    for text, weight in (("red", 1.0), ("blue", 0.5), ("green", -0.3)):
        meant = perceptor.encode_text([text])[0]
        pulls = torch.stack([published_pull(preset, each, meant) for each in embeddings])
        loss = loss + len(settings.perceptor.split(" + ")) * weight * pulls
    if preset == "mse":  # mse(z, z_orig) * .5 / 2
        loss = loss + 0.5 / 2 * (canvas.z - canvas.start_0).square().mean((1, 2, 3))
    if preset == "pytti":
        rough = image.diff(dim=-1).square().mean((1, 2, 3)) + image.diff(dim=-2).square().mean((1, 2, 3))
        loss = loss + 0.02 * rough
    if preset == "bigsleep":
        loss = loss + torch.stack([big_sleep_penalties(canvas.z[n], canvas.logits[n]) for n in range(2)])
    return loss


def big_sleep_penalties(latents, logits):
    """Of one picture: (latents, z_dim) and (latents, classes) -> a number."""
    loss = (1 - latents.std(1)).abs().mean() + latents.mean(1).abs().mean()
    loss = loss + 4 * torch.max((latents**2).mean(), torch.tensor(1.0))
    for row in latents:
        apart = row - row.mean()
        scores = apart / apart.pow(2).mean().sqrt()
        loss = loss + ((scores**4).mean() - 3).abs() / len(latents) + (scores**3).mean().abs() / len(latents)
    lowest = logits.sigmoid().sort(dim=1).values[:, :-1]
    return loss + ((50 * lowest) ** 2).mean()


WITHIN = {"crowson", "pooling", "updated", "nerdyrodent", "pixray", "mse", "pytti"}  # z stays within the codebook
TOYS = {
    "bigsleep": lambda **start: BigGANCanvas(ToyBigGAN(start["size"]), **start),
    "deepdaze": lambda **start: SirenCanvas(**start),
    "aphantasia": lambda **start: FourierCanvas(**start),
    "codebook": lambda **start: CodebookCanvas(bright_vqgan(), **start),
}


def bright_vqgan():
    """A toy whose colours lie beyond black and white or within, never on the edge, where rounding would decide."""
    vqgan = ToyVQGAN()
    vqgan.gain.data.fill_(1.3)
    return vqgan


@pytest.mark.parametrize("preset", PRESETS)
def test_one_step_of_a_preset_is_the_published_one(preset):
    """Losses, gradients and the step, for two pictures, two texts and one that is pushed away."""
    small = {"deepdaze": {"layers": 4, "hidden_size": 8}}.get(preset, {})
    size = (40, 40) if preset == "deepdaze" else (48, 40)
    run_settings = {**presets.load(preset).settings, "size": size, "every": 1, **small}
    settings = Settings(**run_settings).replace(
        prompt="red | blue:0.5 | green:-0.3", variations=2, lr=run_settings["lr"]
    )
    options = canvases.spec(settings.canvas).options(**settings.canvas_options)
    new = TOYS.get(preset, lambda **start: VQGANCanvas(bright_vqgan(), **start))
    ours, theirs = (new(size=size, seeds=settings.seeds, options=options) for _ in range(2))
    perceptor = ToyPerceptor()
    networks = {name: [perceptor] for name in settings.perceptor.split(" + ")}
    painting = Painting(settings, ours, Builder(ours, networks, device=torch.device("cpu")))
    theirs.remember()
    if preset == "mse":  # so that it has something to be held to
        for canvas in (ours, theirs):
            canvas.z.data.mul_(0.9)

    frame = painting.step(look=True)
    before = [parameter.detach().clone() for parameter in theirs.learnable()]
    draws, total = Draws(settings.seeds, 0), torch.zeros(2)
    batches = settings.accumulate
    for each in [draws, *(draws.of(f"judgement {number}") for number in range(2, batches + 1))]:
        loss = published_loss(preset, settings, theirs, perceptor, each) / batches
        loss.sum().backward()
        total += loss.detach()
    torch.testing.assert_close(torch.stack(list(frame.losses.values())).sum(0), total)

    again = Painting(settings, new(size=size, seeds=settings.seeds, options=options), painting.build)
    again.build.canvas = again.canvas
    again._use(again.build(settings))
    if preset == "mse":
        again.canvas.z.data.mul_(0.9)
    again._evaluate()
    for mine, parameter in zip(again.learnable, theirs.learnable(), strict=True):
        assert parameter.grad.abs().sum() > 0
        torch.testing.assert_close(mine.grad, parameter.grad, rtol=1e-4, atol=1e-6)

    rate = value_at(settings.lr, 0)
    if settings.optimizer == "adamp":
        after = [adamp_first_step(start, each.grad) for start, each in zip(before, theirs.learnable(), strict=True)]
    else:
        betas = (0.0, 0.999) if settings.optimizer == "adam-custom" else (0.9, 0.999)
        torch.optim.Adam(theirs.learnable(), lr=rate, betas=betas).step()
        after = [(each.detach() - start) / rate for start, each in zip(before, theirs.learnable(), strict=True)]
    for start, step, parameter in zip(before, after, ours.learnable(), strict=True):
        clear = step.abs() > 0.9  # where the gradient is not so small that rounding decides
        assert clear.any()
        target = start + rate * step
        if preset in WITHIN:
            target = target.maximum(ours.lowest).minimum(ours.highest)
        moved, expected = (parameter.detach() - start)[clear] / rate, (target - start)[clear] / rate
        torch.testing.assert_close(moved, expected, rtol=2e-2, atol=1e-2)


def adamp_first_step(weight, grad):
    """The first step of AdamP with lr 1, for each picture: what `adamp_alone` does once."""
    return torch.stack([(adamp_alone(w, [g]) - w) / 0.1 for w, g in zip(weight, grad, strict=True)])


def test_the_mse_notebook_lets_go_by_a_fifth_every_fifty_steps():
    weight = Settings(**presets.load("mse").settings).init_weight
    assert [round(weight.at(step), 6) for step in (0, 49, 50, 120, 249, 250, 400)] == [0.5, 0.5, 0.4, 0.3, 0.1, 0, 0]
