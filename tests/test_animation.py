"""Scenes in seconds become one prompt in spans, and frames become steps; what is wrong in a file is one line."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.test_films import clip
from tests.test_resume import outcome, see_through
from tests.toys import toy_models
from vqclip_nb import Settings, prompts, video
from vqclip_nb.animation import EXAMPLE, Animation, Scene, animate, film_settings
from vqclip_nb.cli import main
from vqclip_nb.errors import SettingsError
from vqclip_nb.session import resume, start

SCENES = (Scene("red | blue:-0.2", 1), Scene("green", 2, fade=0), Scene("white", 1, fade=0.5))


def test_scenes_follow_each_other_for_their_seconds():
    settings = Animation(SCENES, eased=True, fps=5, steps_per_frame=2, first_steps=10).settings()
    assert (settings.frame_count(settings.steps), settings.steps) == (20, 10 + 19 * 2)
    read = prompts.parse(settings.prompt)
    assert [(prompt.text, prompt.weight) for prompt in read] == [
        ("red", 1),
        ("blue", -0.2),
        ("green", 1),
        ("white", 1),
    ]
    frames = [settings.frame_after(round(edge * settings.steps)) for edge in (read[0].span.end, read[2].span.end)]
    assert frames == [5, 15], "a second is five frames, two are ten"
    assert read[0].span.end == read[1].span.end == read[2].span.begin
    at_cut = [prompt.span.share(read[0].span.end) for prompt in read]
    assert at_cut[0] + at_cut[2] == pytest.approx(1)
    assert read[3].span.eased
    assert read[3].span.fade[0] == read[2].span.fade[1] == pytest.approx(0.5 * 5 * 2 / settings.steps, abs=1e-5)
    turns = [step / settings.steps for step in range(settings.steps)]
    sums = [sum(prompt.span.share(s) for prompt in read if prompt.weight == 1) for s in turns]
    assert sums == pytest.approx([1] * len(turns))


@pytest.mark.parametrize(("fps", "first_steps"), [(4, 4), (5, 10), (12, 60), (7, 1)])
def test_a_scene_that_is_cut_to_begins_with_its_frame(fps, first_steps):
    scenes = (Scene("red", 1, 0), Scene("blue", 1.3, 0), Scene("green", 1, 0))
    animation = Animation(scenes, fps=fps, steps_per_frame=2, first_steps=first_steps)
    settings = Settings(**animation.settings().to_dict())  # as it is written and read
    spans = [prompt.span for prompt in prompts.parse(settings.prompt)]
    edges = [settings.steps_for(fps), settings.steps_for(round(2.3 * fps))]
    for step in range(settings.steps):
        index = sum(step >= edge for edge in edges)
        assert [span.share(step / settings.steps) for span in spans] == [float(number == index) for number in range(3)]


def test_keyframes_and_formulas_of_the_camera_count_frames():
    settings = Animation(
        (Scene("red", 4),),
        fps=5,
        steps_per_frame=3,
        first_steps=10,
        camera={"zoom": "0:(1), 8:(2)", "rotate": "t", "shift_x": 2},
    ).settings()
    for frame in (1, 4, 8, 12):  # the move before a frame, by its number from 0
        step = settings.steps_for(frame)
        assert settings.zoom.at(step) == pytest.approx(1 + min(frame, 8) / 8)
        assert settings.rotate.at(step) == pytest.approx(frame)
    assert settings.zoom.at(settings.steps_for(8)) == 2
    assert settings.shift_x == 2


def test_the_example_is_an_animation():
    values = yaml.safe_load(EXAMPLE)
    settings = film_settings(Animation.of(values))
    assert settings.frame_count(settings.steps) == 72
    assert settings.size == (192, 192)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scenes": []}, "an animation needs scenes"),
        ({"scenes": [{"seconds": 3}]}, "a scene must have words"),
        ({"scenes": [{"words": "red", "second": 3}]}, "a scene has no 'second'; did you mean 'seconds'?"),
        ({"scenes": [{"words": "red", "seconds": 0}]}, "seconds of a scene must be above 0"),
        ({"scenes": [{"words": "red", "seconds": 0.01}]}, "scene 1 has no frame"),
        ({"scenes": [{"words": "red", "seconds": "x"}]}, "seconds must be a number from 0 on, got 'x'"),
        ({"camera": {"zom": 1}}, "camera has no 'zom'; did you mean 'zoom'?"),
        ({"camera": {"zoom": "0:(1"}}, "zoom must be a number or keyframes"),
        ({"camera": {"zoom": 0}}, "zoom must be from 0.25 to 4, got 0"),
        ({"camera": {"zoom": "0:(1), 3:(0)"}}, "zoom must be from 0.25 to 4 at every frame, got 0 at frame 3 of"),
        ({"camera": {"rotate": "1/(t-2)"}}, "rotate must be a number at every frame, got none at frame 2 of '1/(t-2)'"),
        ({"camera": {"zoom": "1-t"}}, "zoom must be from 0.25 to 4 at every frame, got 0 at frame 1 of '1-t'; max("),
        ({"scenes": None}, "scenes must be a list of scenes, got None; `vqclip animate --example` prints some"),
        ({"frame_rate": 3}, "there is no heading 'frame_rate'"),
        ({"fps": -3}, "fps must be a number from 0 on, got -3"),
        ({"steps_per_frame": 5000}, "steps_per_frame must be from 1 to 1000, got 5000"),
        ({"steps_per_frame": 0}, "steps_per_frame must be from 1 to 1000, got 0"),
        ({"first_steps": float("inf")}, "first_steps must be a whole number from 0 on, got inf"),
        ({"loop": float("nan")}, "loop must be a number from 0 on, got nan"),
        ({"loop": 1e9}, "loop_frames must be"),
        ({"scenes": ["red"], "settings": {"prompt": 3, "steps": "x"}, "fps": "fast"}, "fps must be a number"),
        ({"fps": 1000}, "fps must be from 1 to 60, got 1000"),
        ({"scenes": [{"words": "red", "seconds": 36000}]}, "an animation must have at most 100,000 frames"),
        ({"settings": {"stepz": 3}}, "there is no setting 'stepz'"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(tmp_path, change, sentence):
    path = tmp_path / "film.json"
    path.write_text(json.dumps({**yaml.safe_load(EXAMPLE), **change}))
    with pytest.raises(SettingsError) as error:
        film_settings(Animation.read(path))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_film_from_python_gives_its_frames_and_keeps_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    animation = Animation(
        SCENES[:2], fps=2, steps_per_frame=2, first_steps=4, more={"canvas": "pixels", "size": 16, "cutn": 2}
    )
    with toy_models():
        frames = list(animate(animation, device="cpu", out=str(tmp_path)))
        (folder,) = tmp_path.iterdir()
        assert [frame.step for frame in frames] == [4, 6, 8, 10, 12, 14]
        assert all(frame.image is not None for frame in frames)
        again = see_through(start(film_settings(animation, device="cpu", out=str(tmp_path / "again"))))
        assert outcome(again) == outcome(folder)
        assert resume(folder, step=14).painting.step_count == 14


def test_a_folder_of_pictures_is_repainted_from_the_command_line(tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(4):
        Image.new("RGB", (32, 32), (60 * index, 0, 0)).save(pictures / f"{index}.png")
    film = {"scenes": ["red"], "fps": 4, "steps_per_frame": 1, "first_steps": 0, "video": "pictures"}
    film["settings"] = {"canvas": "pixels", "size": 32, "cutn": 2, "average": 0, "lr": 0.001}
    (tmp_path / "film.yaml").write_text(yaml.safe_dump(film | {"camera": {"video_weight": 1}}))
    with toy_models():
        assert main(["animate", str(tmp_path / "film.yaml"), "--out", str(tmp_path / "runs"), "--quiet"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    reds = [np.asarray(Image.open(path))[..., 0].mean() for path in sorted((run / "frames").iterdir())]
    assert reds == pytest.approx([0, 60, 120, 180], abs=6)
    assert main(["animate", str(tmp_path / "film.yaml"), "--dry-run"]) == 0
    assert "4 frames of 32 x 32, 1.0 s of film, 4 steps" in capsys.readouterr().out


def test_a_video_gives_the_length_of_scenes_without_seconds(tmp_path):
    clip(tmp_path / "clip.mp4")
    animation = Animation((Scene("red"), Scene("blue")), video=str(tmp_path / "clip.mp4"), first_steps=0)
    settings = film_settings(animation)
    assert (settings.frame_count(settings.steps), settings.fps) == (6, 6)
    with pytest.raises(SettingsError, match="need 18 frames, and the video has 6"):
        film_settings(Animation((Scene("red", 3),), video=str(tmp_path / "clip.mp4")))


def test_a_dry_run_says_what_the_film_will_not_reach_and_paints_nothing(tmp_path, capsys):
    film = {"scenes": [{"words": "red", "seconds": 2}], "fps": 4, "steps_per_frame": 2, "first_steps": 6}
    (tmp_path / "film.json").write_text(json.dumps({**film, "camera": {"zoom": "0:(1), 12:(1.1)"}}))
    assert main(["animate", str(tmp_path / "film.json"), "--dry-run", "--out", str(tmp_path / "runs")]) == 0
    output = capsys.readouterr()
    assert output.out == "8 frames of 192 x 192, 2.0 s of film, 20 steps\n"
    sentence = (
        "zoom has a keyframe at step 28, frame 12, and the run ends at step 20, after 8 frames: 1.1 is not reached"
    )
    assert output.err.strip() == f"vqclip: {sentence}"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("scene", "settings", "remedy"),
    [
        ("red [mask 1]", {}, "and there are 0; add prompt_masks: [FILE] under settings"),
        ("red", {"extend": "left 5%"}, "add init_image: FILE under settings"),
    ],
)
def test_the_remedy_is_one_for_the_file(tmp_path, capsys, scene, settings, remedy):
    (tmp_path / "film.json").write_text(json.dumps({"scenes": [scene], "settings": settings}))
    assert main(["animate", str(tmp_path / "film.json"), "--dry-run"]) == 2
    assert capsys.readouterr().err.strip().endswith(remedy)
