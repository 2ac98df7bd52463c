"""Pictures with a symmetry, tiles without a seam, and start images that are painted on beyond their edges."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_resume import left_off, outcome, see_through, settings
from tests.toys import toy_models
from vqclip_nb import Settings, images, video
from vqclip_nb.errors import SettingsError
from vqclip_nb.rng import Draws
from vqclip_nb.session import build_painting, replay, resume, start
from vqclip_nb.symmetry import crop, make_symmetric, roll, wrap

NOISE = torch.rand(2, 3, 21, 21, generator=torch.Generator().manual_seed(0))
SOFT = torch.nn.functional.interpolate(NOISE[..., :5, :5], (60, 60), mode="bicubic").clamp(0, 1)


@pytest.fixture(autouse=True)
def films(monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))


def test_mirrors_are_exact_and_keep_the_first_half():
    across, down, both = (make_symmetric(NOISE, kind) for kind in ("mirror", "mirror-down", "mirror-both"))
    assert torch.equal(across, across.flip(-1))
    assert torch.equal(down, down.flip(-2))
    assert torch.equal(both, both.flip(-1))
    assert torch.equal(both, both.flip(-2))
    assert torch.equal(across[..., :11], NOISE[..., :11])
    assert torch.equal(make_symmetric(NOISE, "none"), NOISE)


def test_quarter_turns_are_the_mean_of_the_four_and_exact():
    turned = make_symmetric(NOISE, "rotate-4")
    torch.testing.assert_close(turned, sum(NOISE.rot90(quarter, (2, 3)) for quarter in range(4)) / 4)
    torch.testing.assert_close(turned, turned.rot90(1, (2, 3)))
    oblong = make_symmetric(NOISE[..., :12], "rotate-2")
    torch.testing.assert_close(oblong, oblong.flip(2, 3))


@pytest.mark.parametrize("count", [3, 5, 6])
def test_other_turns_leave_the_picture_as_it_is(count):
    picture = make_symmetric(SOFT, f"rotate-{count}")
    middle, radius = 30, 18
    for angle in np.linspace(0, 2 * np.pi, 7)[:-1]:
        values = []
        for turn in range(count):
            place = angle + 2 * np.pi * turn / count
            row, column = middle - 0.5 + radius * np.sin(place), middle - 0.5 + radius * np.cos(place)
            top, left = int(row), int(column)
            down, across = row - top, column - left
            corners = picture[0, :, top : top + 2, left : left + 2]
            rows = corners[:, 0] * (1 - down) + corners[:, 1] * down
            values.append(rows[:, 0] * (1 - across) + rows[:, 1] * across)
        assert (torch.stack(values) - values[0]).abs().max() < 0.03


def test_a_grid_is_wrapped_and_cropped_back():
    assert torch.equal(crop(wrap(NOISE, 2), 2), NOISE)
    assert torch.equal(wrap(NOISE, 2)[..., 2:-2, :2], NOISE[..., -2:])
    assert torch.equal(wrap(NOISE[..., :1, :], 3)[..., 3, 3:-3], NOISE[..., 0, :])
    moved = roll(NOISE, Draws((0, 1)))
    assert not torch.equal(moved[0], NOISE[0])
    assert torch.equal(moved[0].flatten().sort().values, NOISE[0].flatten().sort().values)
    assert torch.equal(moved[1], roll(NOISE[1:], Draws((1,)))[0]), "each picture by its own draws"


def test_a_tile_of_the_demo_model_has_no_seam():
    """Codes that are moved round give the picture moved round, also where its edges meet."""

    def off_at_the_edges(**more):
        painting = build_painting(Settings(prompt="a red circle", size=(96, 96), steps=4, device="cpu", **more))
        with torch.no_grad():
            image = painting.canvas()
            painting.canvas.z.copy_(painting.canvas.z.roll((6, 6), (-2, -1)))
            moved = painting.canvas().roll((-48, -48), (-2, -1))
        apart = (image - moved).abs().mean((0, 1))
        return float(torch.cat([apart[:, :2], apart[:, -2:], apart[:2].T, apart[-2:].T], 1).mean())

    seamless, plain = off_at_the_edges(seamless=True), off_at_the_edges()
    assert seamless < 0.25 * plain


@pytest.mark.parametrize("canvas", ["vqgan/demo", "pixels", "fourier"])
def test_a_symmetric_tile_is_resumed_and_replayed_to_the_pixel(tmp_path, canvas):
    with toy_models():
        run_settings = settings(tmp_path, canvas=canvas, symmetry="mirror-both", seamless=True, variations=2)
        whole = see_through(start(run_settings))
        assert outcome(see_through(resume(left_off(start(run_settings), after=5)))) == outcome(whole)
        assert outcome(see_through(replay(whole))) == outcome(whole)
        pixels = np.asarray(Image.open(whole / "result-1.png"))
        assert (pixels == pixels[:, ::-1]).all()
        assert (pixels == pixels[::-1]).all()


def test_a_picture_is_painted_on_beyond_its_edges(tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 8, 3), np.uint8))
    photo.save(tmp_path / "photo.png")
    run_settings = settings(
        tmp_path, canvas="pixels", size=(16, 16), init_image=str(tmp_path / "photo.png"), feather=2.0
    )
    with toy_models():
        painting = build_painting(run_settings.replace(extend="left 25% right 6"))
        assert painting.overlay.picture.size == (16, 16)
        whole = see_through(start(run_settings.replace(extend="left 25% right 6")))
        saved = np.asarray(Image.open(whole / "result.png"))[:, 2:10]
        assert (saved == np.asarray(images.read(tmp_path / "photo.png", field="init_image"))).all()
        assert outcome(see_through(replay(whole))) == outcome(whole)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"extend": "left 10"}, "extend needs a picture to go beyond, got 'left 10'; add --init-image FILE"),
        (
            {"extend": "lef 10", "init_image": "a.png"},
            "extend must be edges and widths, like left 25% top 64, got 'lef 10'",
        ),
        (
            {"extend": "left", "init_image": "a.png"},
            "extend must be edges and widths, like left 25% top 64, got 'left'",
        ),
        ({"symmetry": "rotate-7"}, "symmetry must be one of none, mirror,"),
    ],
)
def test_what_is_wrong_is_one_line(values, sentence):
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert str(error.value).startswith(sentence)
