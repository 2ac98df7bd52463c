"""The way between two pictures: by its formula, from the one to the other, and back."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_resume import see_through, settings
from tests.toys import toy_models
from vqclip_nb import video
from vqclip_nb.cli import main
from vqclip_nb.errors import RunError
from vqclip_nb.interpolation import between, pictures_between
from vqclip_nb.session import start
from vqclip_nb.video_reader import VideoReader


def test_a_spherical_way_turns_evenly_and_a_straight_one_is_straight():
    east, north = torch.tensor([[[2.0], [0.0]]])[0][None], torch.tensor([[[0.0], [4.0]]])[0][None]
    for share in (0.0, 0.25, 0.5, 1.0):
        angle, length = share * math.pi / 2, 2 + 2 * share
        expected = torch.tensor([[[length * math.cos(angle)], [length * math.sin(angle)]]])
        torch.testing.assert_close(between(east, north, share, spherical=True), expected)
    torch.testing.assert_close(between(east, north, 0.25, spherical=False), torch.tensor([[[1.5], [1.0]]]))
    torch.testing.assert_close(between(east, -east, 0.25, spherical=True), east / 2), "no way round is preferred"
    assert between(torch.zeros_like(east), north, 0.5, spherical=True).isfinite().all()


@pytest.fixture
def runs(tmp_path, monkeypatch):
    with toy_models():
        made = []
        for prompt, canvas in (("red", "vqgan/demo"), ("blue", "vqgan/demo"), ("blue", "pixels")):
            with monkeypatch.context() as patch:
                patch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
                run_settings = settings(tmp_path, prompt=prompt, canvas=canvas, steps=12, lr=0.5, average=0.5)
                made.append(see_through(start(run_settings)))
        yield made


def test_the_ends_of_the_way_are_the_pictures_and_it_may_lead_back(runs):
    first, last = (np.asarray(Image.open(run / "result.png")) for run in runs[:2])
    way = [np.asarray(pil) for pil in pictures_between(runs[:2], 4)]
    assert len(way) == 5
    assert (way[0] == first).all()
    assert (way[-1] == last).all()
    assert (way[2] != first).any()
    loop = [np.asarray(pil) for pil in pictures_between(runs[:2], 4, loop=True)]
    assert len(loop) == 8
    assert (loop[4] == last).all()


def test_the_command_makes_a_film_of_it(runs, tmp_path):
    assert main(["blend", str(runs[0]), str(runs[1]), "--frames", "4", "--to", str(tmp_path / "way.mp4")]) == 0
    assert len(VideoReader(tmp_path / "way.mp4")) == 5


def test_what_cannot_be_blended_is_one_line(runs, capsys):
    with pytest.raises(RunError, match="runs must share canvas and size"):
        next(pictures_between(runs[1:], 4))
    assert main(["blend", str(runs[0])]) == 2
    assert "blend needs at least two runs" in capsys.readouterr().err
