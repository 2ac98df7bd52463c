"""Networks that are loaded once for several paintings paint what each painting's own would."""

from unittest import mock

import torch

from vqclip_nb import Settings, models, paint
from vqclip_nb.models import shared

SMALL = {"size": 64, "steps": 2, "cutn": 2, "device": "cpu"}


def last(prompt):
    *_, frame = paint(Settings(prompt=prompt, **SMALL))
    return frame.image


def test_kept_networks_are_loaded_once_and_paint_the_same_pixels():
    prompts = ("a castle", "a tree at night")
    alone = [last(prompt) for prompt in prompts]
    vqgans, clips = (mock.Mock(side_effect=load) for load in (models.load_vqgan, models.load_clip))
    with (
        mock.patch("vqclip_nb.models.load_vqgan", vqgans, create=True),
        mock.patch("vqclip_nb.models.load_clip", clips, create=True),
        shared.keep_loaded(),
    ):
        together = [last(prompt) for prompt in prompts]
        assert (vqgans.call_count, clips.call_count) == (1, 2)
        shared.forget()
        last(prompts[0])
        assert vqgans.call_count == 2
    assert all(map(torch.equal, alone, together))
