"""The preview of a film shows where the frames lie, by the camera's own map, and each number that changes."""

import re

import pytest

from vqclip_nb import Settings
from vqclip_nb.animation import CAMERA
from vqclip_nb.fields import fields
from vqclip_nb.studio.camera_slider import SPANS
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
    assert "Zoom is for a film" in errors["zoom"]
    form.controls["frame_steps"].value = 4
    assert not errors
    form.controls["rotate"].value = "sin(t"
    assert "at the ^" in errors["rotate"]
    form.controls["rotate"].value = "sin(t)"
    assert not errors
    assert panel.controller.settings().frame_steps == 4


def test_a_camera_slider_writes_its_number_and_the_wireframe_follows():
    messages = []
    form = Form(messages.append)
    form.load({"frame_steps": 4, "steps": 74})
    still, zoom = form.film_preview.value, form.controls["zoom"]
    zoom.slider.value = 1.05
    assert (zoom.text.value, form.value("zoom"), messages) == ("1.05", 1.05, ["zoom"])
    assert form.film_preview.value != still
    zoom.text.value = "1.3"
    assert (zoom.slider.value, zoom.slider.max) == (1.3, 1.3), "what is typed may go further"
    assert messages == ["zoom", "zoom"]


def test_the_slider_of_a_schedule_is_disabled_at_its_first_number():
    form = Form(lambda name: None)
    form.load({"frame_steps": 4, "rotate": "0:(2), 60:(3)"})
    rotate = form.controls["rotate"]
    assert (rotate.slider.value, rotate.slider.disabled, rotate.text.disabled) == (2, True, False)
    assert form.value("rotate") == Settings(frame_steps=4, rotate="0:(2), 60:(3)").rotate
    rotate.text.value = "sin(t/8)"
    assert (rotate.slider.value, rotate.slider.disabled) == (0, True)
    rotate.text.value = "-1.5"
    assert (rotate.slider.value, rotate.slider.disabled) == (-1.5, False)
    form.freeze(running=True)
    assert not rotate.slider.continuous_update, "a run is changed when the slider is released"
    form.freeze(running=False, wholly=True)
    assert rotate.slider.disabled
    assert rotate.text.disabled
    form.freeze(running=False)
    assert rotate.slider.continuous_update
    assert not rotate.slider.disabled


def test_every_camera_number_has_a_slider_within_its_range():
    sliders = [spec for spec in fields() if spec.name in SPANS]
    assert {spec.name for spec in sliders} == set(CAMERA) - {"border", "video_weight"}
    for spec in sliders:
        low, high, _ = SPANS[spec.name]
        assert spec.limits["ge"] <= low < spec.default < high <= spec.limits["le"], spec.name
