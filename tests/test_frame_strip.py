"""The strip of a film's frames in the panel."""

import io

from PIL import Image

from tests.test_studio import ended, paused, studio, toys  # noqa: F401
from vqclip_nb.runs.reader import frames
from vqclip_nb.studio.registry import REGISTRY


def colour(widget):
    """Of the middle of a picture."""
    pil = Image.open(io.BytesIO(widget.value)).convert("RGB")
    return pil.getpixel((pil.width // 2, pil.height // 2))


def test_the_frames_painted_so_far_can_be_scrubbed_while_it_paints_and_after():
    panel = studio(steps=4000, frame_steps=2, first_steps=2)
    strip = panel.ui.view.strip
    assert strip.box.layout.display == "none"
    panel.ui.start.click()
    paused(panel, 9)
    saved = frames(REGISTRY.job.status.folder)
    assert strip.slider.max == strip.slider.value >= 3, "the newest is shown"
    assert f"{strip.slider.max} of {strip.slider.max}, at" in strip.about.value
    for path, shade in zip(saved[:2], ("blue", "lime"), strict=True):
        Image.new("RGB", (16, 16), shade).save(path)
    strip.slider.value = 1
    assert colour(strip.picture)[2] > 200 > colour(strip.picture)[1]
    strip.slider.value = 2
    assert colour(strip.picture)[1] > 200 > colour(strip.picture)[2]
    assert "2 of" in strip.about.value

    panel.ui.pause.click()
    paused(panel, REGISTRY.job.status.step + 4)
    assert strip.slider.max > len(saved)
    assert strip.slider.value == 2, "the eye stays where it was"
    assert len(strip._thumbs) <= 8
    panel.ui.stop.click()
    ended(panel, "stopped")
    assert strip.box.layout.display == ""
    panel.ui.form.load({"frame_steps": 0, "first_steps": 30, "steps": 2})
    panel.ui.start.click()
    ended(panel)
    assert strip.box.layout.display == "none", "a picture is no film"
