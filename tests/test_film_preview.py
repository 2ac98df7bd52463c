"""The preview of a film shows where the frames lie, by the camera's own map, and each number that changes."""

import re

import pytest

from vqclip_nb import Settings
from vqclip_nb.studio.film_preview import outlines
from vqclip_nb.studio.form import Form


def test_a_zoom_shows_frames_within_frames_and_a_shift_beside_each_other():
    zoomed = outlines(Settings(frame_steps=4, steps=60, size=(200, 100), zoom=2))
    assert zoomed[0] == [(-100, -50), (100, -50), (100, 50), (-100, 50)]
    assert zoomed[2] == [pytest.approx((x / 4, y / 4)) for x, y in zoomed[0]]
    shifted = outlines(Settings(frame_steps=4, steps=60, size=(200, 100), shift_x=10))
    assert shifted[3][0] == pytest.approx((-130, -50)), "the picture moves right, so what is seen lies further left"
    assert len(outlines(Settings(frame_steps=4, first_steps=4, steps=12))) == 3


def test_the_form_draws_the_film_and_each_number_that_changes():
    form = Form(lambda name: None)
    assert "One picture" in form.film_preview.value
    form.load({"frame_steps": 4, "steps": 74, "zoom": "0:(1), 60:(1.5)", "rotate": "sin(t)"})
    shown = form.film_preview.value
    assert "12 frames, 1.0 seconds at 12 a second" in shown
    assert "Zoom: 1 to 1.5" in shown
    assert re.search(r"Rotate: -(1|0\.99\d*) to (1|0\.99\d*)<", shown)
    form.controls["zoom"].value = "banana"
    assert form.film_preview.value == shown, "what cannot be drawn leaves the last one"
    form.controls["zoom"].value = "1.02"
    assert "Zoom:" not in form.film_preview.value


def test_a_film_may_be_set_in_any_order():
    from vqclip_nb.studio import Studio

    panel = Studio()
    form, errors = panel.ui.form, panel.ui.messages.field_errors
    form.controls["zoom"].value = "1.02"
    assert "zoom is for a film" in errors["zoom"]
    form.controls["frame_steps"].value = 4
    assert not errors
    form.controls["rotate"].value = "sin(t"
    assert "at the ^" in errors["rotate"]
    form.controls["rotate"].value = "sin(t)"
    assert not errors
    assert panel.controller.settings().frame_steps == 4
