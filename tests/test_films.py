"""Films: the camera moves by known formulas, and a film is resumed, replayed and branched to the same pixels."""

import gc
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_resume import left_off, outcome, see_through, settings
from tests.toys import toy_models
from vqclip_nb import Settings, video
from vqclip_nb.camera import warp
from vqclip_nb.cli import main
from vqclip_nb.errors import PaintWarning, PictureError, SettingsError
from vqclip_nb.moves import Move
from vqclip_nb.runs.films import make_film
from vqclip_nb.runs.reader import read_all
from vqclip_nb.session import branch, build_painting, replay, resume, start
from vqclip_nb.timeline import Edit
from vqclip_nb.video_reader import VideoReader

GRID = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def keys(distance):
    """The cubic convolution kernel with a = -0.75 (Keys, 1981)."""
    away = abs(distance)
    if away <= 1:
        return 1.25 * away**3 - 2.25 * away**2 + 1
    return -0.75 * (away**3 - 5 * away**2 + 8 * away - 4) if away < 2 else 0.0


def looked_up(image, x, y):
    """The value of a picture, (3, H, W), at a place inside it, by cubic convolution; pixels' middles are at halves."""
    column, row = math.floor(x - 0.5), math.floor(y - 0.5)
    total = torch.zeros(3, dtype=torch.float64)
    for down in range(row - 1, row + 3):
        for across in range(column - 1, column + 3):
            total += image[:, down, across].double() * keys(x - 0.5 - across) * keys(y - 0.5 - down)
    return total.clamp(0, 1)


@pytest.mark.parametrize(
    ("move", "source"),
    [
        (Move(zoom=2), lambda x, y: (x / 2, y / 2)),
        (Move(zoom=1.25, shift=(2, -1)), lambda x, y: ((x - 2) / 1.25, (y + 1) / 1.25)),
        (Move(rotate=30), lambda x, y: (x * math.cos(math.pi / 6) - y / 2, x / 2 + y * math.cos(math.pi / 6))),
        (
            Move(turn=(0, 10)),  # of a camera that sees 50 degrees: rays turned by 10 degrees about the upright
            lambda x, y: (
                (f := 12 / math.tan(math.radians(25))) * math.tan(math.atan(x / f) + math.radians(10)),
                y / math.hypot(x, f) * f / math.cos(math.atan(x / f) + math.radians(10)),
            ),
        ),
    ],
)
def test_a_move_agrees_with_its_formula(move, source):
    result = warp(GRID, move)[0]
    for column, row in ((8, 9), (14, 11), (12, 13)):
        x, y = source(column + 0.5 - 12, row + 0.5 - 12)
        torch.testing.assert_close(
            result[:, row, column].double(), looked_up(GRID[0], x + 12, y + 12), atol=1e-4, rtol=0
        )


def test_looking_up_is_looking_right_of_a_picture_on_its_side():
    up = warp(GRID, Move(turn=(10, 0)))
    torch.testing.assert_close(up, warp(GRID.rot90(-1, (2, 3)), Move(turn=(0, 10))).rot90(1, (2, 3)), atol=1e-4, rtol=0)


def test_a_quarter_turn_and_a_shift_by_whole_pixels_are_exact():
    torch.testing.assert_close(warp(GRID, Move(rotate=90)), GRID.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        warp(GRID, Move(shift=(3, -5), border="wrap")), GRID.roll((-5, 3), (2, 3)), atol=1e-5, rtol=0
    )
    reflected = torch.cat([GRID[..., :4].flip(-1), GRID[..., :-4]], -1)
    torch.testing.assert_close(warp(GRID, Move(shift=(4, 0))), reflected, atol=1e-5, rtol=0)
    stretched = torch.cat([GRID[..., :1].expand(-1, -1, -1, 4), GRID[..., :-4]], -1)
    torch.testing.assert_close(warp(GRID, Move(shift=(4, 0), border="stretch")), stretched, atol=1e-5, rtol=0)


def test_what_comes_in_may_be_filled_with_the_colours_beside_it():
    halves = torch.zeros(1, 3, 16, 16)
    halves[:, 0, :8], halves[:, 2, 8:] = 1, 1
    filled = warp(halves, Move(shift=(6, 0), border="fill"))
    torch.testing.assert_close(filled[..., 6:], halves[..., :-6], atol=1e-5, rtol=0)
    left = filled[0, :, :, :6]
    assert (left[0, :7] > left[2, :7] + 0.2).all(), "red goes on above"
    assert (left[2, 9:] > left[0, 9:] + 0.2).all(), "blue goes on below"


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    with toy_models():
        yield


MOVING = {
    "frame_steps": 2,
    "first_steps": 4,
    "zoom": "0:(1), 4:(1.2)",
    "rotate": "3*sin(t)",
    "turn_y": 2.0,
    "init_weight": 0.1,
}


@pytest.mark.parametrize("canvas", ["vqgan/demo", "pixels", "fourier"])
def test_a_film_is_resumed_replayed_and_branched_to_the_pixel(tmp_path, toys, canvas):
    run_settings = settings(
        tmp_path, canvas=canvas, steps=12, average=0.6, lr=1.0, loop_frames=2, variations=2, **MOVING
    )
    whole = see_through(start(run_settings))
    assert [path.stem for path in sorted((whole / "frames").iterdir())] == [f"{step:06}" for step in range(4, 13, 2)]
    for after in (3, 4, 11):
        assert outcome(see_through(resume(left_off(start(run_settings), after=after)))) == outcome(whole)
    assert outcome(see_through(replay(whole))) == outcome(whole)
    same, other = (
        see_through(branch(whole, Edit({"prompt": prompt}), step=6)) for prompt in (run_settings.prompt, "blue")
    )
    frames = [
        [Image.open(path).tobytes() for path in sorted((run / "frames").iterdir())] for run in (whole, same, other)
    ]
    assert frames[0] == frames[1]
    assert frames[0][:2] == frames[2][:2]
    assert frames[0][2:] != frames[2][2:]


def test_without_a_move_a_film_is_the_picture_that_is_painted_without_one(tmp_path, toys):
    still = see_through(start(settings(tmp_path, canvas="pixels", frame_steps=2, zoom="1 + 0*t", border="wrap")))
    plain = see_through(start(settings(tmp_path, canvas="pixels")))
    pixels = [np.asarray(Image.open(folder / "result.png")) for folder in (still, plain)]
    assert (pixels[0] == pixels[1]).all()


def test_the_last_frames_of_a_loop_come_back_to_the_first(tmp_path, toys):
    def frames(**more):
        run_settings = settings(tmp_path, canvas="pixels", steps=16, average=0, lr=1e-4, shift_x=1, **MOVING | more)
        folder = see_through(start(run_settings))
        return [np.asarray(Image.open(path), float) for path in sorted((folder / "frames").iterdir())]

    def apart(all_frames):
        return np.abs(all_frames[-1] - all_frames[0]).mean()

    assert apart(frames(loop_frames=3)) < 0.5 * apart(frames())


def clip(path, count=6, side=32):
    """A film of a white square that moves to the right, a quarter of the side wide, with a tone."""
    import subprocess

    from imageio_ffmpeg import get_ffmpeg_exe

    pixels = np.zeros((count, side, side, 3), np.uint8)
    for index in range(count):
        pixels[index, 8:16, 4 * index : 4 * index + 8] = 255
    form = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{side}x{side}", "-r", "6", "-i", "pipe:0"]
    tone = ["-f", "lavfi", "-t", "1", "-i", "sine=440", "-shortest", "-vcodec", "libx264", "-crf", "1"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *form, *tone, str(path)], input=pixels.tobytes(), check=True)
    return pixels


def test_a_video_is_read_frame_by_frame_forwards_and_back(tmp_path):
    pixels = clip(tmp_path / "take:1.mp4")
    reader = VideoReader(tmp_path / "take:1.mp4", nth=2)
    assert (len(reader), reader.fps, reader.size) == (3, 3, (32, 32))
    for index in (0, 2, 1):
        near = np.abs(np.asarray(reader.frame(index), float) - pixels[2 * index]).mean()
        assert near < 12, (index, near)


def test_a_video_is_repainted_frame_by_frame_with_its_sound_and_its_rate(tmp_path, capsys):
    pixels = clip(tmp_path / "clip.mp4")
    run_settings = settings(
        tmp_path,
        canvas="pixels",
        size=(32, 32),
        steps=12,
        frame_steps=2,
        first_steps=0,
        average=0,
        lr=0.01,
        video=str(tmp_path / "clip.mp4"),
        video_weight=1.0,
    )
    with toy_models():
        whole = see_through(start(run_settings))
        cut = left_off(start(run_settings), after=7)
        (tmp_path / "clip.mp4").unlink()
        assert outcome(see_through(resume(cut))) == outcome(whole)
        frames = [np.asarray(Image.open(path), float) for path in sorted((whole / "frames").iterdir())]
    for frame, source in zip(frames, pixels, strict=True):
        assert np.abs(frame - source).mean() < 25
    result = VideoReader(whole / "progress.mp4")
    assert (len(result), result.fps) == (6, 6)
    assert b"mp4a" in (whole / "progress.mp4").read_bytes(), "the sound came over"
    assert main(["info", str(whole)]) == 0
    assert capsys.readouterr().out.endswith(f"\nvqclip replay {whole}\n"), "the video is in its folder alone"
    assert main(["film", str(whole), "--beside", "--to", str(tmp_path / "both.mp4")]) == 0
    both = VideoReader(tmp_path / "both.mp4")
    assert (len(both), both.size) == (6, (64, 32))
    halves = np.asarray(both.frame(3), float).reshape(32, 2, 32, 3)
    assert np.abs(halves[:, 0] - pixels[3]).mean() < 25
    assert np.abs(halves[:, 1] - frames[3]).mean() < 25


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"zoom": 1.1}, "zoom is for a film, got 1.1; add --frame-steps 4"),
        ({"frame_steps": 2, "zoom": 0}, "zoom must be from 0.25 to 4, got 0"),
        ({"frame_steps": 2, "zoom": "0:(1), 5:(9)"}, "zoom must be from 0.25 to 4 at every keyframe, got 9 at step 5"),
        ({"frame_steps": 2, "turn_x": "90*s"}, "turn_x must be from -45 to 45 at every step, got 45.75 at step 61"),
    ],
)
def test_what_no_film_can_do_is_one_line(values, sentence):
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert str(error.value).startswith(sentence)


def test_a_video_of_large_frames_is_scaled_down_as_it_is_read(tmp_path):
    pixels = np.zeros((2, 1024, 4096, 3), np.uint8)
    pixels[1, :, 2048:] = 255
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, each in zip(paths, pixels, strict=True):
        Image.fromarray(each).save(path)
    video.film(paths, tmp_path / "wide.mp4", fps=6, hold=0)
    reader = VideoReader(tmp_path / "wide.mp4")
    assert (len(reader), reader.size) == (2, (2048, 512))
    frame = np.asarray(reader.frame(1), float)
    assert frame[:, :1000].max() < 20
    assert frame[:, 1048:].min() > 235


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"smoothness": "0:(1), 24:(0)"}, None),
        (
            {"smoothness": "0:(1), 60:(0.5)"},
            "smoothness has a keyframe at step 60, and the run ends at step 24: 0.5 is",
        ),
        (
            {"zoom": "0:(1), 40:(1.1)", "frame_steps": 4, "first_steps": 8},
            "zoom has a keyframe at step 40, frame 9, and the run ends at step 24, after 5 frames: 1.1 is not reached",
        ),
        ({"prompt": "red:0:(1), 99:(0)"}, "the weight of 'red' has a keyframe at step 99, and the run ends at step 24"),
    ],
)
def test_a_keyframe_beyond_the_end_is_said(tmp_path, toys, values, sentence):
    run_settings = settings(tmp_path, canvas="pixels", steps=24).replace(**values)
    if sentence is None:
        build_painting(run_settings)
        return
    with pytest.warns(PaintWarning, match=sentence):
        build_painting(run_settings)


def test_a_video_that_is_none_or_too_short_is_one_line(tmp_path, toys):
    clip(tmp_path / "clip.mp4")
    (tmp_path / "text.mp4").write_text("#EXTM3U\nfile:///etc/passwd\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    run_settings = settings(tmp_path, frame_steps=2, first_steps=6, steps=24)
    with pytest.raises(PictureError, match=r"^video has 6 frames to paint, .* need 10; add --steps 16"):
        build_painting(run_settings.replace(video=str(tmp_path / "clip.mp4")))
    for name, reason in (
        ("text.mp4", "must be a film, got"),
        ("none.mp4", "there is no such file"),
        ("", "folder"),
        ("empty.mp4", "no pictures were found in it"),
    ):
        with pytest.raises(PictureError, match=reason) as error:
            build_painting(run_settings.replace(video=str(tmp_path / name)))
        assert "\n" not in str(error.value)


def test_the_film_of_a_film_has_the_length_that_is_asked_for_and_every_frame_once(tmp_path, toys, monkeypatch):
    made = []
    monkeypatch.setattr(video, "film", lambda frames, path, **options: made.append((frames, options)))
    paths = [tmp_path / f"{step}.jpg" for step in range(8)]
    film = settings(tmp_path, frame_steps=2, first_steps=4, fps=4)
    make_film(paths, tmp_path / "a.gif", film, tmp_path, seconds=2)
    assert made[-1] == (paths, {"fps": 4, "hold": 0.0})
    make_film(paths, tmp_path / "a.gif", film, tmp_path, seconds=3, hold=1, fps=8)
    assert made[-1] == ([path for path in paths for _ in range(2)], {"fps": 8, "hold": 1})
    make_film(paths * 30, tmp_path / "a.gif", film, tmp_path, seconds=2)
    assert (len(made[-1][0]), made[-1][1]["fps"]) == (120, 60)
    make_film(paths, tmp_path / "a.gif", film, tmp_path, seconds=None)
    assert made[-1] == (paths, {"fps": 4, "hold": 0.0, "sound": None})


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("canvas", "more"), [("vqgan/demo", {}), ("pixels", {"loop_frames": 20})])
def test_a_film_of_two_thousand_frames_does_not_grow(tmp_path, canvas, more):
    """With camera, schedules, the frames, losses and states on the disk, and the film at the end."""
    moves = {"frame_steps": 1, "first_steps": 1, "zoom": "1 + 0.01*sin(t/40)", "rotate": "0:(0), 2000:(2)"}
    run_settings = settings(tmp_path, canvas=canvas, size=(32, 32), steps=2000, save_every="50", **moves, **more)
    resident = {}
    with toy_models():
        active = start(run_settings)
        for frame in active:
            if frame.step % 200 == 0:
                resident[frame.step] = _resident()
        folder = active.record.finish(active.painting).parent
    film = (_resident() - resident[200]) / 1e6
    grown = {step: (size - resident[200]) / 1e6 for step, size in resident.items()}  # MB since frame 200
    assert len(list((folder / "frames").iterdir())) == 2000
    assert max(grown.values()) < 4, grown
    assert film < 30, "it is encoded frame by frame"


def _resident():
    """The bytes of memory that this process has."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_of_a_video_that_turns_out_damaged_what_was_painted_is_kept(tmp_path, toys, monkeypatch, capsys):
    clip(tmp_path / "clip.mp4")
    whole = VideoReader.frame

    def frame(self, index):
        if index == 3:
            raise PictureError("video ends before frame 4: 'clip.mp4' is damaged there")
        return whole(self, index)

    monkeypatch.setattr(VideoReader, "frame", frame)
    words = ["paint", "red", "--canvas", "pixels", "--size", "32", "32", "--cutn", "2", "--quiet", "--frame-steps", "1"]
    words += ["--first-steps", "1", "--steps", "6", "--out", str(tmp_path / "runs")]
    assert main([*words, "--video", str(tmp_path / "clip.mp4")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("stopped: video ends before frame 4: 'clip.mp4' is damaged there; the picture so far is kept")
    ((run,), _) = read_all(tmp_path / "runs")
    assert run.saved_steps == [3]
    assert len(list((run.folder / "frames").iterdir())) == 3
    assert (run.folder / "progress.mp4").exists()
