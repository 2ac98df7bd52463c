"""Other tools' commands: each option has a fate that is true, and a command paints and writes where the tool did."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests import crash_worker
from tests.toys import toy_models
from vqclip_nb import cli, load_settings, prompts
from vqclip_nb.compat import generate
from vqclip_nb.compat.copies import Duration, spoken
from vqclip_nb.errors import SettingsError
from vqclip_nb.models import download
from vqclip_nb.schedules import value_at

TOOLS = {"generate": generate}
OPTIONS = {  # every option, as the tool's own source lists it
    "generate": """prompts image_prompts iterations save_every size init_image init_noise init_weight clip_model
        vqgan_config vqgan_checkpoint noise_prompt_seeds noise_prompt_weights learning_rate cut_method num_cuts
        cut_power seed optimiser output video zoom_video zoom_start zoom_save_every zoom_scale zoom_shift_x
        zoom_shift_y change_prompt_every video_length output_video_fps input_video_fps deterministic augments
        video_style_dir cuda_device""",
}
SAMPLES = {  # a value of each option that is not its default, where the kind alone gives none
    "prompts": "a house",
    "image_prompts": "a.png | b.png:0.5",
    "init_image": "a.png",
    "clip_model": "RN50",
    "vqgan_config": "checkpoints/wikiart_16384.yaml",
    "vqgan_checkpoint": "checkpoints/vqgan_imagenet_f16_1024.ckpt",
    "cut_method": "original",
    "optimiser": "AdamW",
    "augments": ["Ji", "Sh"],
    "cuda_device": "cpu",
    "output": "other.png",
    "video_style_dir": "frames",
    "init_noise": "pixels",
}
OF_KIND = {"whole": 7, "wholes": [64], "number": 0.25, "text": "a", "texts": ["2"]}
BESIDE = {"change_prompt_every": {"prompts": "a^b"}, "video_length": {"video": True}}
FETCH = download.fetch
CASES = [(tool, option) for tool, module in TOOLS.items() for option in module.TOOL.options]


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vqclip_nb.models.download.fetch", lambda entry, report: None)
    with toy_models(), crash_worker.no_film():
        yield


def vqclip(*words):
    try:
        return cli.main(words)
    except SystemExit as leaving:
        return leaving.code


def recipe(settings):
    return {name: value for name, value in settings.model_dump().items() if name != "seed"}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_table_has_every_option_of_the_tool(tool):
    assert sorted(option.name for option in TOOLS[tool].TOOL.options) == sorted(OPTIONS[tool].split())


@pytest.mark.parametrize(("tool", "option"), CASES, ids=lambda case: getattr(case, "name", case))
def test_what_the_table_says_of_an_option_is_what_becomes_of_it(tool, option):
    plan, beside = TOOLS[tool].plan, BESIDE.get(option.name, {})
    value = SAMPLES.get(option.name, not option.default if option.kind == "switch" else OF_KIND.get(option.kind))
    assert option.here.strip()
    if option.fate == "refused":
        with pytest.raises(SettingsError, match=rf"--{option.name} cannot be had here: "):
            plan({option.name: value})
        return
    before, after = plan(beside), plan({**beside, option.name: value})
    settings = recipe(before.settings) != recipe(after.settings) or (option.name == "seed" and after.settings.seed == 7)
    outputs = before.outputs != after.outputs
    told = [note for note in after.notes if note.startswith(f"--{option.name} changes nothing here: ")]
    assert (settings, outputs or option.fate == "setting", bool(told)) == {
        "setting": (True, True, False),
        "file": (False, True, False),
        "moot": (False, False, True),
    }[option.fate]


def test_generate_paints_as_it_was_typed_and_the_paint_line_paints_the_same(tmp_path, capsys):
    words = "-p red:2|blue:-0.5 -i 6 -s 32 24 -cuts 2 -se 3 -o output.png -cd cpu -opt AdamW -d --num-cuts 3"
    assert vqclip("generate", *words.split(), "-vid") == 0
    said = capsys.readouterr()
    assert "--deterministic changes nothing here" in said.err
    assert "Written: output.png, output.mp4" in said.err
    run = Path(re.fullmatch(r"Painted: (\S+)/result.png", said.out.splitlines()[-1])[1])
    assert len(list(run.glob("frames/*.jpg"))) == 6
    with Image.open("output.png") as written, Image.open(run / "result.png") as result:
        assert written.tobytes() == result.tobytes()
    settings = load_settings("output.png")
    assert (settings.prompt, settings.steps, settings.size) == ("red:2 | blue:-0.5", 6, (32, 24))
    assert (settings.cutn, settings.optimizer, settings.augments) == (3, "adamw", "Af Pe Ji Er")

    line = next(line for line in said.err.splitlines() if line.startswith("The same: ")).removeprefix("The same: ")
    (tmp_path / "again").mkdir()
    again = [word.replace("output.png", "again/output.png") for word in shlex.split(line)[1:]]
    assert vqclip(*again, "--quiet") == 0
    with Image.open("output.png") as one, Image.open("again/output.png") as other:
        assert one.tobytes() == other.tobytes()


def test_a_story_is_painted_phrase_by_phrase_and_begins_again():
    given = {"prompts": "red:2 | fog:-1^a ship: night", "change_prompt_every": 10, "iterations": 35}
    settings = generate.plan({**given, "image_prompts": "a.png:0.5"}).settings
    weights = {prompt.text: prompt.weight for prompt in prompts.parse(settings.prompt)}
    (picture,) = map(prompts.parse_picture, settings.image_prompts)
    for step in range(35):
        first = (step // 10) % 2 == 0
        seen = {text: value_at(weight, step) for text, weight in weights.items()}
        assert seen == {"red": 2.0 * first, "fog": -1.0 * first, "a ship: night": 1.0 * (not first)}
        assert value_at(picture.weight, step) == 0.5 * (step < 10)


def test_the_size_that_was_left_out_goes_by_the_memory_as_there():
    sizes = [generate.plan({}, memory=memory).settings.size[0] for memory in (None, 8 * 2**30, 8 * 2**30 + 1)]
    assert sizes == [256, 304, 512]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-i", "many"], "--iterations must be a whole number, got 'many'"),
        (
            ["-cutm", "new"],
            "--cut_method must be one of latest, updatedpooling, nrupdated, updated, original, got 'new'",
        ),
        (["-o", "a.bmp"], "output must end in .png, .jpg, .jpeg, .webp, got 'a.bmp'"),
        (["-o", "gone/a.png"], "output must be a file in a folder that is there, got 'gone/a.png'"),
        (["-ckpt", "checkpoints/mine.ckpt"], "`vqclip models add mine --config checkpoints/mine.yaml --weights"),
        (["--iteratoins", "9"], "there is no option '--iteratoins'; did you mean --iterations?"),
        (["-zvid"], "--zoom_video cannot be had here: "),
        (["-p", "a^b", "-cpe", "1", "-i", "5000"], "a story of 5000 changes is too long"),
    ],
)
def test_a_wrong_word_is_one_line_and_nothing_is_written(tmp_path, capsys, words, sentence):
    assert vqclip("generate", *words) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_model_or_a_network_the_command_that_paints_at_once_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("vqclip_nb.models.download.fetch", FETCH)
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VQCLIP_OFFLINE", "1")
    assert vqclip("generate", "-p", "a house", "-i", "2") == 2
    shown = re.search(r"`(vqclip generate --demo .*?)` paints at once", capsys.readouterr().err)[1]
    assert vqclip(*shlex.split(shown)[1:], "-s", "32", "-cuts", "2", "--quiet", "-p", "red") == 0
    assert Image.open("output.png").size == (32, 32)


def test_a_long_run_says_how_long_and_a_short_one_does_not(monkeypatch):
    seconds = iter(range(100))
    monkeypatch.setattr("vqclip_nb.compat.copies.time.monotonic", lambda: float(next(seconds)))
    long, short = Duration(21_000, "20 epochs of 1050"), Duration(50)
    said = [long.add(step) for step in range(1, 6)]
    assert said == [
        None,
        None,
        "21,000 steps (20 epochs of 1050) take about 6 h here; Ctrl-C ends it and keeps the picture so far",
        None,
        None,
    ]
    assert not any(short.add(step) for step in range(1, 6))
    assert [spoken(seconds) for seconds in (90, 1800, 50_000, 500_000)] == [
        "about 90 s",
        "about 30 min",
        "about 14 h",
        "about 6 days",
    ]
