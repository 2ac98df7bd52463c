"""A palette may be taken from a picture: the settings then hold its colours."""

import numpy as np
import pytest
from PIL import Image

from tests.toys import toy_models
from vqclip_nb import colours, palettes
from vqclip_nb.cli import main
from vqclip_nb.errors import SettingsError
from vqclip_nb.runs.reader import read_all


@pytest.fixture
def flag(tmp_path):
    pil = Image.new("RGB", (300, 200), "navy")
    pil.paste("#ffcc00", (0, 0, 150, 120))
    pil.paste("white", (200, 150, 300, 200))
    pil.save(tmp_path / "flag (1).png")
    return tmp_path / "flag (1).png"


def test_a_picture_of_three_colours_gives_these_and_a_gradient_gives_colours_that_stand_for_it(flag, tmp_path):
    assert palettes.of_picture(flag) == "#000080, #ffcc00, #ffffff"
    assert palettes.replace_picture(f"{flag} 64") == "#000080, #ffcc00, #ffffff"
    assert palettes.replace_picture("navy, #fc0 white") == "navy, #fc0 white"
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    found = sorted(grey for grey, *_ in colours.parse(palettes.of_picture(tmp_path / "ramp.png", 4), name="ramp"))
    assert found == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=0.03), "the middles of four parts"
    with pytest.raises(SettingsError, match="must be from 1 to 64, got 65"):
        palettes.of_picture(flag, 65)


def test_the_command_writes_the_colours_of_a_picture_into_the_recipe(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flag.rename("flag.png")
    words = ["paint", "red", "--steps", "2", "--size", "16", "16", "--cutn", "2", "--quiet", "--canvas", "pixels"]
    with toy_models():
        assert (
            main([*words, "--losses", "saturation:0.1 | palette(flag.png 2):0.5", "--fixed-palette", "flag.png"]) == 0
        )
    ((run,), _) = read_all(tmp_path / "runs")
    assert run.settings.canvas_options["fixed_palette"] == "#000080, #ffcc00, #ffffff"
    assert run.settings.losses.startswith("saturation:0.1 | palette(#000080, #")
    shown = Image.open(run.folder / "result.png").convert("RGB")
    assert {colour for _, colour in shown.getcolors()} <= {(0, 0, 128), (255, 204, 0), (255, 255, 255)}
    capsys.readouterr()
    assert main([*words, "--losses", "palette(lost.png):1"]) == 2
    assert capsys.readouterr().err == "vqclip: palette must be a picture file, got 'lost.png': there is no such file\n"


def test_the_panel_takes_the_colours_of_a_picture(flag):
    from tests.test_studio import upload
    from vqclip_nb.studio import Studio

    panel = Studio()
    images, controls = panel.ui.images, panel.ui.form.controls
    controls["losses"].value = "saturation:0.1 | palette(red):2"
    images.role.value = "colours"
    upload(images.upload, flag.read_bytes())
    assert controls["losses"].value == "saturation:0.1 | palette(#000080, #ffcc00, #ffffff):1"
    assert panel.controller.settings().init_image is None
    controls["canvas"].value = "pixels"
    upload(images.upload, flag.read_bytes())
    assert panel.controller.settings().canvas_options["fixed_palette"] == "#000080, #ffcc00, #ffffff"
