"""Films show the whole way, more of its beginning, in every format, with one frame in memory."""

import imageio_ffmpeg
import pytest
from PIL import Image

from vqclip_nb import video
from vqclip_nb.errors import PaintWarning, RunError


@pytest.fixture
def frames(tmp_path):
    paths = [tmp_path / f"{index:06}.jpg" for index in range(1, 41)]
    for index, path in enumerate(paths):
        Image.new("RGB", (33, 21), (6 * index, 0, 0)).save(path)
    return paths


def facts(path):
    return next(imageio_ffmpeg.read_frames(str(path)))


def test_an_mp4_is_h264_of_even_sides_and_as_long_as_asked(frames, tmp_path):
    video.film(frames, tmp_path / "film.mp4", seconds=3, about={"settings": {"prompt": 'a "b" = c; #\\ é'}})
    message = facts(tmp_path / "film.mp4")
    assert (message["codec"], message["pix_fmt"].partition("(")[0], message["size"]) == ("h264", "yuv420p", (34, 22))
    assert message["duration"] == pytest.approx(3, abs=0.2)
    from vqclip_nb.embedded import read

    assert read(tmp_path / "film.mp4")["settings"] == {"prompt": 'a "b" = c; #\\ é'}


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_gif_and_a_webp_move_hold_and_repeat(frames, tmp_path, suffix):
    video.film(frames[:9], tmp_path / f"film.{suffix}", fps=5, hold=1)
    with Image.open(tmp_path / f"film.{suffix}") as pil:
        assert pil.size == (34, 22)
        assert pil.n_frames >= 9
        assert pil.info["loop"] == 0
        lasts = 0
        for index in range(pil.n_frames):
            pil.seek(index)
            pil.load()
            lasts += pil.info["duration"]
    assert lasts == pytest.approx(1000 * (9 / 5 + 1), rel=0.15)
    assert pil.convert("RGB").getpixel((5, 5))[0] == pytest.approx(48, abs=8)


def test_with_fps_every_frame_is_shown_once_and_the_last_is_held(frames):
    shown, fps = video._schedule(frames, None, 10, 1.5)
    assert (shown, fps) == (frames + [frames[-1]] * 15, 10)


@pytest.mark.parametrize("count", [1, 5, 400])
def test_with_a_length_the_beginning_is_given_more_of_it(count):
    shown, fps = video._schedule(list(range(count)), 6, None, 1)
    assert len(shown) / fps == pytest.approx(6, abs=0.2)
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (0, count - 1)
    moving = shown[: -round(fps)]
    assert sum(index < count / 2 for index in moving) >= 0.6 * len(moving)


def test_a_frame_that_cannot_be_read_is_left_out_and_said(frames, tmp_path):
    frames[3].write_bytes(b"no picture")
    with pytest.warns(PaintWarning, match=r"the film is without 000004\.jpg, which cannot be read"):
        video.film(frames, tmp_path / "film.gif", fps=20)
    assert Image.open(tmp_path / "film.gif").n_frames >= 38


def test_an_encoding_that_is_cut_leaves_no_film(frames, tmp_path, monkeypatch):
    def interrupted(frames):
        yield Image.new("RGB", (33, 21))
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "_readable", interrupted)
    with pytest.raises(KeyboardInterrupt):
        video.film(frames, tmp_path / "film.mp4")
    assert not list(tmp_path.glob("*film*"))


@pytest.mark.parametrize(("name", "sentence"), [("a.avi", "must end in one of .mp4, .gif, .mkv, .webp, got 'a.avi'")])
def test_what_cannot_be_filmed_is_said(frames, tmp_path, name, sentence):
    with pytest.raises(RunError, match=sentence):
        video.film(frames, tmp_path / name)
    with pytest.raises(RunError, match="there are no frames"):
        video.film([], tmp_path / "a.mp4")
