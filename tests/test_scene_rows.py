"""Scenes as rows in the panel become the prompt and the steps of a film."""

from tests.test_studio import painting, studio, toys, until  # noqa: F401
from vqclip_nb.animation import Animation, Scene
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
