"""Scenes as rows in the panel become the prompt and the steps of a film."""

import pytest

from tests.test_studio import painting, studio, toys, until  # noqa: F401
from vqclip_nb.animation import Animation, Scene
from vqclip_nb.settings import Settings
from vqclip_nb.studio.registry import REGISTRY


def fill(panel, *scenes):
    rows = panel.ui.scenes.rows
    while len(rows.children) < len(scenes):
        panel.ui.scenes.more.click()
    for row, values in zip(rows.children, scenes, strict=True):
        for control, value in zip(row.children[:3], values, strict=True):
            control.value = value


def test_rows_are_the_film_that_an_animation_of_these_scenes_is():
    panel = studio(fps=6)
    fill(panel, ("a red house", 2, 0), ("", 9, 1), ("red snow:2 | fog:-1", 3, 0.5))
    panel.ui.scenes.use.click()
    settings = panel.controller.settings()
    right = Animation((Scene("a red house", 2, 0), Scene("red snow:2 | fog:-1", 3, 0.5)), eased=True, fps=6).settings()
    for name in ("prompt", "steps", "frame_steps", "first_steps", "fps"):
        assert settings.value(name) == right.value(name), name
    assert "30 frames, 5.0 seconds" in panel.ui.form.film_preview.value
    assert not panel.ui.messages.field_errors

    for row in panel.ui.scenes.rows.children:
        row.children[3].click()
    panel.ui.scenes.use.click()
    assert "an animation needs scenes" in panel.ui.messages.text.value


def test_scenes_may_be_changed_while_the_film_is_painted():
    panel = studio(fps=6, frame_steps=2, first_steps=2)
    fill(panel, ("red", 600, 0))
    panel.ui.scenes.use.click()
    panel.ui.start.click()
    painting(panel, 3)
    fill(panel, ("red", 300, 0), ("blue", 300, 1))
    panel.ui.scenes.use.click()
    until(lambda: "blue" in REGISTRY.job.status.settings.prompt)
    assert REGISTRY.job.status.settings.frame_steps == 2


def rows_of(panel):
    return [tuple(control.value for control in row.children[:3]) for row in panel.ui.scenes.rows.children]


def loaded(**values):
    panel = studio()
    panel.ui.form.load(Settings(**values).model_dump())
    return panel


@pytest.mark.parametrize("eased", [True, False])
@pytest.mark.parametrize("fps", [None, 6, 60])
def test_a_story_that_is_loaded_stands_in_the_rows_and_is_the_same_when_used(fps, eased):
    scenes = (Scene("a red house", 2, 0), Scene("red snow:2 | fog [0 0 50% 100%]:-1", 3.5, 0.5), Scene("blue", 0.7, 2))
    settings = Animation(scenes, eased=eased, fps=fps).settings()
    panel = loaded(**settings.model_dump())
    assert rows_of(panel) == [(scene.words, scene.seconds, scene.fade) for scene in scenes[:2]] + [
        ("blue", pytest.approx(0.7, abs=0.05), 2)
    ]
    assert panel.ui.scenes.eased.value is eased
    assert not panel.ui.scenes.note.value
    panel.ui.scenes.use.click()
    again = panel.controller.settings()
    assert [again.value(name) for name in ("prompt", "steps", "fps")] == [settings.prompt, settings.steps, fps or 12]


def test_a_story_that_was_typed_stands_in_the_rows_to_the_nearest_frame():
    panel = loaded(prompt="a house @ 0-40% | a fox @ 40-100%", frame_steps=4, first_steps=30, steps=302, fps=10)
    first, second = rows_of(panel)
    assert first[:2] == ("a house", 2.4)
    assert (second[0], sum((first[1], second[1]))) == ("a fox", pytest.approx(6.9))
    assert second[2] == pytest.approx(0.05 * 302 / 40, abs=0.001)
    panel.ui.form.load({"prompt": "a single scene"})
    assert rows_of(panel) == [("a single scene", 6.9, 0)]


@pytest.mark.parametrize(
    ("prompt", "frame_steps"),
    [
        ("a house @ 0-60% | a fox @ 40-100%", 4),
        ("a house @ 0-40% | a fox @ 60-100%", 4),
        ("a house @ 0-40% | a fox @ 40-100% | an oil painting", 4),
        ("a house @ 0-40% fade 1% | a fox @ 40-100%", 4),
        ("a house @ 0-1% | a fox @ 1-2% | red @ 2-100%", 4),
        ("a house @ 0-40% | a fox @ 40-100%", 0),
    ],
)
def test_a_story_that_rows_cannot_hold_is_edited_as_text(prompt, frame_steps):
    panel = loaded(prompt="one @ 0-50% | two @ 50-100%", frame_steps=4, steps=300)
    assert len(rows_of(panel)) == 2
    panel.ui.form.load(Settings(prompt=prompt, frame_steps=frame_steps, steps=300).model_dump())
    assert rows_of(panel) == [("", 4, 1)]
    assert "edited as text" in panel.ui.scenes.note.value
    panel.ui.form.load(Settings(prompt="a house").model_dump())
    assert not panel.ui.scenes.note.value


def test_the_settings_of_a_run_fill_the_rows(tmp_path):
    panel = studio(fps=6, frame_steps=2, first_steps=2, out=str(tmp_path / "runs"))
    fill(panel, ("red", 0.5, 0), ("blue", 0.5, 0.2))
    panel.ui.scenes.use.click()
    panel.ui.start.click()
    until(lambda: REGISTRY.job and REGISTRY.job.status.ended)
    other = studio(out=str(tmp_path / "runs"), prompt="green")
    other.controller.library.take_settings(other.controller.library.read_history()[0])
    assert rows_of(other) == [("red", 0.5, 0), ("blue", 0.5, 0.2)]
