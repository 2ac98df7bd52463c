"""Chance is a function of seed, step and purpose, and of nothing else."""

import torch

from vqclip_nb.rng import Draws


def test_a_picture_draws_the_same_alone_and_in_a_batch():
    batch, alone = Draws((3, 4, 5), step=7), Draws((4,), step=7)
    assert torch.equal(batch.uniform("x", (2, 3))[1:2], alone.uniform("x", (2, 3)))
    assert torch.equal(batch.normal("x", (2, 3))[1:2], alone.normal("x", (2, 3)))


def test_seed_step_purpose_and_owner_each_change_the_draw():
    one = Draws((3,), step=7)
    others = [Draws((4,), step=7), Draws((3,), step=8), one.of("b")]
    drawn = one.uniform("x", (8,))
    assert all(not torch.equal(drawn, other.uniform("x", (8,))) for other in others)
    assert not torch.equal(drawn, one.uniform("y", (8,)))


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    Draws((1, 2)).normal("x", (100,))
    assert torch.equal(before, torch.get_rng_state())


def test_draws_do_not_change_between_versions():
    """The pictures that people keep settings of depend on these numbers."""
    drawn = Draws((0,)).uniform("augment", (3,))
    torch.testing.assert_close(drawn, torch.tensor([[0.2888792, 0.6235356, 0.4302511]]))
