"""Settings say what is wrong in one line, and come back from JSON and from a picture as they were."""

import subprocess
import sys

import pytest

from vqclip_nb.errors import SettingsError
from vqclip_nb.fields import GROUPS, by_name, fields, live_fields
from vqclip_nb.optimizers import RULES
from vqclip_nb.settings import Settings


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"prompt": ""}, "prompt must say what to paint, got ''"),
        ({"prompt": " | "}, "prompt must say what to paint"),
        ({"prompt": "a castle:nan"}, "weight must be a finite number, got 'nan' in 'a castle:nan'"),
        ({"stpes": 3}, "there is no setting 'stpes'; did you mean 'steps'?"),
        ({"steps": 0}, "steps must be from 1 to 100000, got 0"),
        ({"steps": "many"}, "steps must be a whole number from 1 to 100000, got 'many'"),
        ({"size": 0}, "size must be two whole numbers, width and height, each from 16 to 4096, got 0"),
        ({"size": (-5, 64)}, "each from 16 to 4096, got -5 64"),
        ({"size": ("nan", "64")}, "each from 16 to 4096, got nan 64"),
        ({"lr": float("nan")}, "lr must be a number above 0 and up to 10, got nan"),
        ({"optimizer": "adm"}, f"optimizer must be one of {', '.join(RULES)}, got 'adm'"),
        (
            {"canvas": "vqgn/demo"},
            "canvas must be biggan/<model>, fourier, pixels, siren, vqgan/<model>, wavelets, got 'vqgn/demo'; "
            "did you mean 'vqgan'?",
        ),
        ({"canvas": "fft"}, "got 'fft'; did you mean 'fourier'?"),
        ({"canvas": "pixels/demo"}, "canvas must be pixels, which takes no model, got 'pixels/demo'"),
        ({"canvas": "vqgan"}, "canvas must be vqgan/<model>, such as `--canvas vqgan/demo`, got 'vqgan'"),
        ({"canvas": "biggan"}, "canvas must be biggan/<model>, such as `--canvas biggan/512`, got 'biggan'"),
        ({"tidy": "often"}, "tidy must be a whole number from 0 to 100000, got 'often'"),
        (
            {"canvas": "pixels", "canvas_options": {"tidy": 3}},
            "tidy is an option of the canvas vqgan, and the canvas is pixels",
        ),
        ({"canvas_options": {"tiddy": 3}}, "the canvas vqgan has no option 'tiddy'; did you mean 'tidy'?"),
        ({"losses": "saturatoin"}, "there is no loss 'saturatoin'; did you mean 'saturation'?"),
        ({"losses": "symmetry:much"}, "losses must be name:weight, joined by |, got 'symmetry:much'"),
        ({"canvas_options": 3}, "canvas_options must be options by name, got 3"),
        ({"perceptor": " "}, "perceptor must not be empty"),
        ({"seed": 2**32 - 1, "variations": 2}, "seed must leave room for 2 variations"),
    ],
)
def test_what_cannot_be_is_one_line_with_field_value_and_remedy(values, sentence):
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_come_back_from_json():
    settings = Settings(prompt='"a: b":2 | fog:-1', size=(320, 256), image_prompts=("a.png:0.5",), lr=0.2, seed=7)
    assert Settings.from_json(settings.to_json()) == settings


def test_what_is_written_names_no_place():
    written = Settings(out="/home/someone", device="cpu", quiet=True, every=9).to_json()
    assert "someone" not in written
    assert not {"out", "device", "quiet", "every"} & Settings.from_json(written).to_dict().keys()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"steps": {}}', '{"nope": 1}', '{"self": 1}', "[" * 100_000])
def test_settings_that_are_no_settings_are_one_line(text):
    with pytest.raises(SettingsError) as error:
        Settings.from_json(text)
    assert "\n" not in str(error.value)


def test_a_seed_of_minus_one_is_drawn_once_and_stored():
    drawn = Settings(seed=-1)
    assert drawn.seed >= 0
    assert Settings.from_json(drawn.to_json()).seed == drawn.seed


def test_options_of_the_canvas_are_read_beside_the_settings_and_kept_apart():
    settings = Settings(tidy="3")
    assert settings.canvas_options["tidy"] == 3
    assert (settings.value("tidy"), settings.value("steps")) == (3, 120)
    assert settings.replace(steps=7).value("tidy") == 3
    assert settings.replace(canvas="siren").canvas_options.keys() == {"layers", "hidden_size", "w0", "w0_first"}
    assert Settings.from_json(settings.to_json()) == settings
    assert "tidy" in live_fields(settings)
    assert "tidy" not in live_fields(Settings(canvas="pixels"))


def test_settings_of_version_0_1_are_read_with_tidy_moved():
    assert Settings.from_json('{"canvas": "vqgan/demo", "tidy": 5}').canvas_options["tidy"] == 5
    assert Settings.from_json('{"canvas": "pixels", "tidy": null}').canvas_options.keys() == {
        "palette",
        "fixed_palette",
    }


def test_every_field_explains_itself():
    for field in fields():
        assert field.title
        assert field.help
        assert field.group in GROUPS
        assert field.allowed


def test_choices_are_what_the_engine_has():
    from vqclip_nb.cutouts import METHODS

    assert set(by_name("cutouts").choices) == set(METHODS)
    assert set(by_name("optimizer").choices) == set(RULES)


def test_importing_the_package_and_its_faces_imports_no_torch():
    script = (
        "import sys, time; start = time.perf_counter(); import vqclip_nb; took = time.perf_counter() - start\n"
        "from vqclip_nb import Settings; Settings(); from vqclip_nb.cli import parser; parser('paint').format_help()\n"
        "print(took); sys.exit('torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert float(process.stdout) < 0.3


@pytest.mark.parametrize("sizes", ["0.8-0.1", "x", "0-0", "0.1-2", "-1-1"])
def test_sizes_of_crops_are_shares_in_order_and_for_crops_alone(sizes):
    assert Settings(cutouts="uniform", crop_sizes=".2 - 0.8").crop_sizes == ".2 - 0.8"
    with pytest.raises(SettingsError, match="crop_sizes must be the least and the largest share of the picture"):
        Settings(cutouts="uniform", crop_sizes=sizes)
    with pytest.raises(SettingsError, match="and cutouts is pooling; add --cutouts uniform"):
        Settings(crop_sizes="0.1-0.5")
