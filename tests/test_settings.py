"""Settings say what is wrong in one line, and come back from JSON and from a picture as they were."""

import subprocess
import sys

import pytest

from vqclip_nb.errors import SettingsError
from vqclip_nb.optimizers import RULES
from vqclip_nb.settings import GROUPS, Settings, allowed, choices, group


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"prompt": ""}, "prompt must say what to paint, got ''"),
        ({"prompt": " | "}, "prompt must say what to paint"),
        ({"prompt": "a castle:abc"}, "weight must be a number, got 'abc' in 'a castle:abc'; to keep a colon"),
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
            "canvas must be fourier, pixels, vqgan/<model>, got 'vqgn/demo'; did you mean 'vqgan'?",
        ),
        ({"canvas": "pixels/demo"}, "canvas must be"),
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


def test_every_field_explains_itself():
    for name, field in Settings.model_fields.items():
        assert field.title
        assert field.description
        assert group(name) in GROUPS
        assert allowed(name)


def test_choices_are_what_the_engine_has():
    from vqclip_nb.cutouts import METHODS
    from vqclip_nb.optimizers import RULES

    assert set(choices(Settings.model_fields["cutouts"])) == set(METHODS)
    assert set(choices(Settings.model_fields["optimizer"])) == set(RULES)


def test_importing_the_package_and_its_faces_imports_no_torch():
    script = (
        "import sys, time; start = time.perf_counter(); import vqclip_nb; took = time.perf_counter() - start\n"
        "from vqclip_nb import Settings; Settings(); from vqclip_nb.cli import parser; parser('paint').format_help()\n"
        "print(took); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.3
