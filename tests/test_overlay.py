"""A mask keeps parts of the start image to the pixel, when resumed and when replayed."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_resume import left_off, outcome, see_through, settings
from tests.toys import toy_models
from vqclip_nb import Settings, images, video
from vqclip_nb.errors import PaintWarning, PictureError, SettingsError
from vqclip_nb.overlay import Overlay, feather_mask, fill
from vqclip_nb.session import build_painting, replay, resume, start

SIDE = 16


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    with toy_models():
        yield


@pytest.fixture
def photo(tmp_path):
    """A picture of noise; its left half is opaque."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:, SIDE // 2 :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return images.read(tmp_path / "photo.png", field="init_image")


def mask_of(tmp_path, side=SIDE):
    mask = Image.new("L", (side, side), 0)
    mask.paste(255, (side // 2, 0, side, side))
    mask.save(tmp_path / "mask.png")
    return str(tmp_path / "mask.png")


def left(pil):
    return np.asarray(pil)[:, : SIDE // 2]


@pytest.mark.parametrize("canvas", ["vqgan/demo", "pixels", "siren"])
@pytest.mark.parametrize("by", ["file", "alpha"])
def test_what_is_kept_is_the_start_image_to_the_pixel(tmp_path, photo, canvas, by):
    mask = mask_of(tmp_path) if by == "file" else "alpha"
    more = {"canvas": canvas, "init_image": str(tmp_path / "photo.png"), "mask": mask, "feather": 2.0, "average": 0.7}
    run_settings = settings(tmp_path, **more, variations=2)
    whole = see_through(start(run_settings))
    for path in whole.glob("result-*.png"):
        assert (left(Image.open(path)) == left(photo)).all()
        assert (np.asarray(Image.open(path)) != np.asarray(photo)).any(), "the other half is painted"
    cut = left_off(start(run_settings), after=5)
    (tmp_path / "photo.png").unlink()
    (tmp_path / "mask.png").unlink(missing_ok=True)
    assert outcome(see_through(resume(cut))) == outcome(whole)
    assert outcome(see_through(replay(whole))) == outcome(whole)


def test_without_a_mask_nothing_is_laid_over(tmp_path, photo):
    assert build_painting(settings(tmp_path, init_image=str(tmp_path / "photo.png"))).overlay is None


def test_without_a_feather_the_seam_has_eight_pixels(tmp_path):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photo.png")
    mask = Image.new("L", (40, 40))
    mask.paste(255, (20, 0, 40, 40))
    mask.save(tmp_path / "mask.png")
    files = {"init_image": str(tmp_path / "photo.png"), "mask": str(tmp_path / "mask.png")}
    of = [Overlay.of(Settings(prompt="red", size=(40, 40), feather=feather, **files)) for feather in (None, 8, 0)]
    unset, eight, none = (overlay(torch.ones(1, 3, 40, 40)) for overlay in of)
    assert torch.equal(unset, eight)
    assert not torch.equal(unset, none)


def test_a_feather_rises_from_the_seam_inwards_and_leaves_zeros_zero():
    mask = torch.zeros(1, 1, 5, 40)
    mask[..., 10:] = 1
    row = feather_mask(mask, 4)[0, 0, 2]
    mean = [sum(mask[0, 0, 2, max(0, x + a - 2) : x + a + 3].min() for a in range(-2, 3)) / 5 for x in range(2, 36)]
    torch.testing.assert_close(row[2:36], torch.tensor(mean))
    assert (row[:10] == 0).all()
    assert (row.diff() >= 0).all()
    assert (row[14:] == 1).all()


def test_a_transparent_hole_is_filled_with_the_colours_around_it():
    picture = Image.new("RGB", (33, 20), (200, 100, 50))
    hole = Image.new("L", (33, 20), 0)
    hole.paste(255, (5, 5, 30, 18))
    picture.paste("white", (5, 5, 30, 18))
    assert np.abs(np.asarray(fill(picture, hole), int) - (200, 100, 50)).max() <= 1
    picture.paste((0, 0, 0), (0, 0, 5, 20))
    row = np.asarray(fill(picture, hole), int)[11, :, 0]
    assert row[6] < 60 < 140 < row[29], "each side has its neighbours' colour"


def test_a_wrong_mask_is_one_line(tmp_path, photo):
    more = {"init_image": str(tmp_path / "photo.png")}
    with pytest.raises(SettingsError, match="--init-image"):
        settings(tmp_path, mask="mask.png")
    with pytest.raises(PictureError, match=r"mask must be a picture file, got 'none\.png'"):
        build_painting(settings(tmp_path, mask="none.png", **more))
    Image.new("L", (SIDE, SIDE)).save(tmp_path / "black.png")
    with pytest.raises(PictureError, match="all black"):
        build_painting(settings(tmp_path, mask=str(tmp_path / "black.png"), **more))
    with pytest.warns(PaintWarning, match=r"32 x 32 pixels and the start image 16 x 16; it is scaled"):
        build_painting(settings(tmp_path, mask=mask_of(tmp_path, 32), **more))
