"""A repainted video may take the frame before along with what moves in it."""

import sys

import pytest
import torch
from PIL import Image, ImageDraw

from tests.test_films import clip
from tests.test_resume import left_off, outcome, see_through, settings
from tests.toys import toy_models
from vqclip_nb import Settings, images
from vqclip_nb.cli import main
from vqclip_nb.errors import SettingsError
from vqclip_nb.session import resume, start
from vqclip_nb.video import film


def square(left, shade="black", ground="white"):
    pil = Image.new("RGB", (96, 64), ground)
    ImageDraw.Draw(pil).rectangle((left, 20, left + 19, 39), fill=shade)
    return pil


def centre(image):
    """Where the dark of a picture (1, 3, H, W) lies from its left edge, in pixels."""
    dark = (1 - image[0, 0]).clamp(min=0).sum(0)
    return float((dark * (torch.arange(len(dark)) + 0.5)).sum() / dark.sum())


@pytest.mark.parametrize("distance", [5, -5])
def test_a_square_that_moves_by_five_pixels_is_moved_by_five_pixels(distance):
    pytest.importorskip("cv2")
    from vqclip_nb.optical_flow import along, flow

    moves = flow(square(40, "orange", "navy"), square(40 + distance, "orange", "navy"))
    painted = images.to_tensor(square(40))
    result = along(painted, moves)
    assert centre(result) - centre(painted) == pytest.approx(distance, abs=0.1)
    assert float((result - images.to_tensor(square(40 + distance))).abs().mean()) < 0.002


def test_a_repainted_video_follows_the_motion_and_is_resumed_to_the_pixel(tmp_path):
    pytest.importorskip("cv2")
    pictures = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(pictures):
        square(10 + 5 * number).save(path)
    film(pictures, tmp_path / "clip.mkv", fps=6, hold=0)

    def asked(**more):
        moving = {"frame_steps": 2, "first_steps": 0, "video": str(tmp_path / "clip.mkv"), "video_weight": 0}
        still = {"canvas": "pixels", "size": (96, 64), "steps": 12, "average": 0, "lr": 1e-6}
        return start(settings(tmp_path, **moving, **still, **more))

    def last(folder):
        return images.to_tensor(Image.open(folder / "result.png"))

    with toy_models():
        follows, stays = see_through(asked(video_flow=True)), see_through(asked())
        assert centre(last(follows)) - centre(last(stays)) == pytest.approx(5 * 5, abs=1)
        assert outcome(see_through(resume(left_off(asked(video_flow=True), after=7)))) == outcome(follows)


def test_without_the_extra_and_without_a_video_it_is_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(SettingsError, match=r"^video_flow follows a video, got True; add --video FILE$"):
        Settings(frame_steps=4, video_flow=True)
    clip(tmp_path / "clip.mp4")
    monkeypatch.setitem(sys.modules, "cv2", None)
    words = [
        "paint",
        "red",
        "--frame-steps",
        "2",
        "--first-steps",
        "2",
        "--steps",
        "6",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main([*words, "--video", str(tmp_path / "clip.mp4"), "--video-flow"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == 'vqclip: video_flow needs another package: `pip install "vqclip_nb[flow]"`'
    assert not list((tmp_path / "runs").glob("*/frames"))
