"""Masks from the panel: which pixels they hold, and what they do in a run."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.test_studio import ended, studio, toys, upload  # noqa: F401
from vqclip_nb import images
from vqclip_nb.embedded import read
from vqclip_nb.prompts import parse_picture
from vqclip_nb.studio.view import results
from vqclip_nb.studio.where import RUN


def picture(colour, size=(16, 16), box=None, inside="white"):
    pil = Image.new("RGB", size, colour)
    if box:
        pil.paste(inside, box)
    pil.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def tint(panel):
    """What the surface shows as marked, as grey."""
    address = panel.ui.where.surface.value.split("base64,")[1].split(")")[0]
    return Image.open(io.BytesIO(base64.b64decode(address))).getchannel("A")


def seen(*parts):
    return [part.layout.display != "none" for part in parts]


def test_an_uploaded_mask_says_where_is_painted_and_the_rest_of_the_start_image_stays():
    panel = studio(steps=12, feather=0.0)  # the toy's codes lie half a unit apart: a step moves a tenth
    where = panel.ui.where
    assert seen(where.board, where.upload, where.take) == [False, False, False], "there is nothing to keep parts of"
    assert "needs a start image" in where.hint.value
    panel.ui.images.take(picture("gray"), "init_image")
    upload(where.upload, picture("black", box=(0, 0, 8, 16)))
    assert tint(panel).getbbox() == (0, 0, 8, 16)
    panel.ui.start.click()
    result = Image.open(results(ended(panel).folder)[0]).convert("RGB")
    assert result.crop((8, 0, 16, 16)).getcolors() == [(128, (128, 128, 128))]
    assert result.crop((0, 0, 8, 16)).getcolors() != [(128, (128, 128, 128))]

    upload(where.upload, picture("black"))
    assert "all black; paint white on it" in panel.ui.messages.text.value
    where.remove.click()
    assert tint(panel).getbbox() is None
    assert panel.controller.settings().mask is None


def test_a_mask_belongs_to_a_prompt_and_is_back_with_the_settings_of_its_run():
    panel = studio(steps=2)
    panel.ui.form.prompt.text.value = "red [mask 1] | blue"
    assert "there are 0; draw it in the tab Where" in panel.ui.messages.field_errors["prompt"]
    where = panel.ui.where
    where.role.value = 1
    assert seen(where.board, where.fields) == [True, False]
    upload(where.upload, picture("black", (32, 16), box=(8, 0, 16, 16)))
    assert not panel.ui.messages.field_errors
    assert tint(panel).getbbox() == (0, 0, 8, 16), "of a mask of another shape the middle, as in painting"
    panel.ui.start.click()
    folder = ended(panel).folder
    assert read(folder / "result.png")["settings"]["prompt_masks"][0].startswith('"sha256:')

    where.remove.click()
    panel.controller.library.read_history()
    panel.ui.history._pressed(folder.name)
    panel.ui.history.use.click()
    assert tint(panel).getbbox() == (0, 0, 8, 16)
    where.role.value = 2
    assert tint(panel).getbbox() is None
    upload(where.upload, picture("white"))
    where.role.value = 1
    where.remove.click()
    panel.ui.start.click()
    assert "[mask 1] in the tab Where is empty" in panel.ui.messages.text.value


def test_the_picture_that_is_shown_becomes_the_start_image_to_be_painted_anew_in_part():
    panel = studio(steps=2)
    panel.ui.start.click()
    folder = ended(panel).folder
    where = panel.ui.where
    where.draw()
    assert seen(where.take) == [True]
    where.take.click()
    assert seen(where.take, where.board, where.alpha) == [False, True, False]
    start = images.read(folder / "result.png", field="")
    assert images.read(Path(panel.ui.images.init_image), field="").tobytes() == start.tobytes()
    upload(where.upload, picture("white"))
    panel.ui.images.shown.children[0].children[-1].click()
    panel.ui.start.click()
    assert "the mask in the tab Where needs a start image" in panel.ui.messages.text.value


def test_the_transparent_part_of_a_start_image_is_marked():
    panel = studio(steps=2)
    pil = Image.new("RGBA", (16, 16), (0, 0, 255, 255))
    pil.paste((0, 0, 0, 0), (0, 0, 16, 4))
    pil.save(file := io.BytesIO(), "PNG")
    panel.ui.images.take(file.getvalue(), "init_image")
    panel.ui.where.alpha.click()
    assert panel.ui.where.number == RUN
    assert tint(panel).getbbox() == (0, 0, 16, 4)
    assert panel.controller.settings().mask == "alpha"
    panel.ui.start.click()
    ended(panel)


@pytest.mark.parametrize("text", ["a red circle [0 0 500 500]", "a red circle [0 0 50% 50%]"])
def test_a_part_of_the_picture_is_checked_against_the_size_in_the_form(text):
    panel = studio()
    panel.ui.form.controls["size"].value = (512, 512)
    panel.ui.form.prompt.text.value = text
    assert not panel.ui.messages.field_errors


def drawn(size, *boxes):
    """What the page sends: a canvas of this size with these rectangles marked."""
    pil = Image.new("RGBA", size)
    for box in boxes:
        pil.paste((255, 48, 96, 255), box)
    pil.save(file := io.BytesIO(), "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_what_is_drawn_in_the_page_is_the_mask_at_the_size_of_the_start_image_and_of_its_prompt():
    panel = studio()
    where = panel.ui.where
    panel.ui.images.take(picture("blue", (1024, 512)), "init_image")
    surface = where.surface.value
    assert 'data-size="512 256"' in surface
    where.wire.value = drawn((512, 256), (0, 0, 256, 256))
    assert where.surface.value == surface, "the page has what it drew, and can undo it"
    mask = Image.open(panel.controller.settings().mask)
    assert mask.size == (1024, 512)
    assert mask.crop((0, 0, 510, 512)).getcolors() == [(510 * 512, 255)]
    assert mask.crop((514, 0, 1024, 512)).getbbox() is None

    where.role.value = 1
    assert not where.wire.value, "another mask is drawn anew"
    where.wire.value = drawn((16, 16), (4, 4, 8, 8))
    where.wire.value = drawn((16, 16), (4, 4, 8, 8), (0, 0, 2, 2))
    assert [option[1] for option in where.role.options] == [RUN, 1, 2]
    panel.ui.form.prompt.text.value = "red [mask 1] | blue"
    settings = panel.controller.settings()
    (name,) = (parse_picture(line).text for line in settings.prompt_masks)
    assert Image.open(name).getcolors() == [(256 - 20, 0), (20, 255)]
    assert settings.mask, "the run keeps its own"
    where.wire.value = drawn((16, 16))
    assert panel.ui.where.prompt_masks == ()
    where.role.value = RUN
    assert tint(panel).point(lambda alpha: 255 * (alpha > 127)).getbbox() == (0, 0, 256, 256)


def test_a_form_that_needs_pictures_is_remembered_without_them():
    panel = studio(steps=2)
    panel.ui.images.take(picture("gray"), "init_image")
    panel.ui.where.role.value = 1
    upload(panel.ui.where.upload, picture("white"))
    panel.ui.form.prompt.text.value = "red [mask 1]"
    panel.ui.form.controls["extend"].value = "left 4"
    assert not panel.ui.messages.field_errors
    panel.ui.start.click()
    ended(panel)
    again = panel.controller.library.remembered("runs")
    assert (again["prompt"], again["extend"], again["steps"]) == ("red [mask 1]", "left 4", 2)
    assert not again.keys() & {"init_image", "prompt_masks"}
