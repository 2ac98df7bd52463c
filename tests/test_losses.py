"""Losses without a perceptor are their published formulas, in value and gradient."""

import numpy as np
import torch

from vqclip_nb import loss_names
from vqclip_nb.rng import Draws


def computed(name, image):
    image = image.clone().requires_grad_()
    (loss,) = loss_names.make(name)(image, Draws(tuple(range(len(image)))), 0.5).values()
    (gradient,) = torch.autograd.grad(loss.sum(), image)
    assert loss.shape == (len(image),)
    assert gradient.isfinite().all()
    return loss, gradient


def test_every_loss_is_finite_on_plain_pictures_and_keeps_pictures_apart():
    pictures = torch.cat([torch.zeros(1, 3, 8, 6), torch.ones(1, 3, 8, 6), torch.rand(1, 3, 8, 6)])
    for name in loss_names.LOSSES:
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


def test_edges_are_the_mean_distance_of_the_frame_from_white():
    from vqclip_nb.objectives.losses import Edges

    image = torch.full((2, 3, 40, 60), 0.25)
    image[1] = 1.0
    image[:, :, 2:-2, 3:-3] = 0.0
    losses = Edges()(image, Draws((0, 1)), 0)["edges"]
    torch.testing.assert_close(losses, torch.tensor([0.75**2, 0.0]))
