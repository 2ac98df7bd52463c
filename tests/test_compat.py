"""Other tools' commands: each option has a fate that is true, and a command paints and writes where the tool did."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image

from tests import crash_worker
from tests.commands import vqclip
from tests.toys import ToyBigGAN, toy_models
from vqclip_nb import Settings, load_settings, presets, prompts
from vqclip_nb.compat import dream, generate, imagine, notebook
from vqclip_nb.compat.copies import Duration, duration_text
from vqclip_nb.compat.other_tools import peers
from vqclip_nb.errors import SettingsError
from vqclip_nb.fields import fields
from vqclip_nb.models import download
from vqclip_nb.schedules import value_at

ROOT = Path(__file__).parent.parent
TOOLS = {"generate": generate, "dream": dream, "imagine": imagine, "notebook": notebook}
OPTIONS = {  # every option, as the tool's own source lists it
    "generate": """prompts image_prompts iterations save_every size init_image init_noise init_weight clip_model
        vqgan_config vqgan_checkpoint noise_prompt_seeds noise_prompt_weights learning_rate cut_method num_cuts
        cut_power seed optimiser output video zoom_video zoom_start zoom_save_every zoom_scale zoom_shift_x
        zoom_shift_y change_prompt_every video_length output_video_fps input_video_fps deterministic augments
        video_style_dir cuda_device""",
    "dream": """text img text_min lr image_size gradient_accumulate_every epochs iterations save_every overwrite
        save_progress save_date_time bilinear open_folder seed append_seed random torch_deterministic max_classes
        class_temperature save_best experimental_resample ema_decay num_cutouts center_bias larger_model""",
    "imagine": """text img learning_rate num_layers hidden_size batch_size gradient_accumulate_every epochs iterations
        save_every image_width deeper overwrite save_progress seed open_folder save_date_time start_image_path
        start_image_train_iters theta_initial theta_hidden start_image_lr lower_bound_cutout upper_bound_cutout
        saturate_bound create_story story_start_words story_words_per_epoch story_separator averaging_weight
        gauss_sampling gauss_mean gauss_std do_cutout center_bias center_focus jit save_gif save_video model_name
        optimizer""",
    "notebook": """imagenet_1024 imagenet_16384 gumbel_8192 openimages_8192 coco faceshq wikiart_1024 wikiart_16384
        sflckr ade20k ffhq celebahq texts width height model images_interval init_image target_images seed
        max_iterations noise_prompt_seeds noise_prompt_weights init_weight clip_model step_size cutn cut_pow init_frame
        last_frame min_fps max_fps length""",
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
    "text": "a castle",
    "texts": "a castle",
    "model": "wikiart_16384",
    "target_images": "a.png | b.png",
    "width": 64,
    "height": 64,
    "img": "a.png",
    "image_size": 256,
    "image_width": 64,
    "hidden_size": 64,
    "model_name": "RN50",
    "optimizer": "Adam",
    "start_image_path": "a.png",
    "story_separator": "-",
    "story_start_words": 2,
    "story_words_per_epoch": 3,
}
OF_KIND = {"whole": 7, "wholes": [64], "number": 0.25, "text": "a", "texts": ["2"], "numbers": [0.5]}
STORY = {"text": "once there was a king - he had nine daughters and they were sad", "create_story": True}
BESIDE = {
    "change_prompt_every": {"prompts": "a^b"},
    "video_length": {"video": True},
    "noise_prompt_weights": {"noise_prompt_seeds": [3]},
}
BESIDE |= {
    name: {"zoom_video": True}
    for name in ("zoom_start", "zoom_save_every", "zoom_scale", "zoom_shift_x", "zoom_shift_y")
}
BESIDE |= dict.fromkeys(("create_story", "story_start_words", "story_words_per_epoch", "story_separator"), STORY)
FETCH = download.fetch
COMMON = {
    "generate": {},
    "dream": {"text": "a house"},
    "imagine": {"text": "a house"},
    "notebook": {"texts": "a house"},
}
CASES = [(tool, option) for tool, module in TOOLS.items() for option in module.TOOL.options]


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vqclip_nb.models.download.fetch", lambda entry, report: None)
    with toy_models(), crash_worker.no_film():
        yield


def picture_settings(settings):
    return {name: value for name, value in settings.model_dump().items() if name not in ("seed", "every")}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_table_has_every_option_of_the_tool(tool):
    assert sorted(option.name for option in TOOLS[tool].TOOL.options) == sorted(OPTIONS[tool].split())


@pytest.mark.parametrize(("tool", "option"), CASES, ids=lambda case: getattr(case, "name", case))
def test_what_the_table_says_of_an_option_is_what_becomes_of_it(tool, option):
    plan, beside = TOOLS[tool].plan, {**COMMON[tool], **BESIDE.get(option.name, {})}
    value = SAMPLES.get(option.name, not option.default if option.kind == "switch" else OF_KIND.get(option.kind))
    if option.name in BESIDE:
        beside.pop(option.name, None)
    assert len(option.here.split()) > 3 or "`" in option.here or option.fate in ("setting", "file"), "it says why"
    if option.fate == "refused":
        with pytest.raises(SettingsError, match=rf"--{option.name} cannot be had here: "):
            plan({**beside, option.name: value})
        return
    before, after = plan(beside), plan({**beside, option.name: value})
    drawn = option.name in ("seed", "random") and before.settings.seed != after.settings.seed
    settings = picture_settings(before.settings) != picture_settings(after.settings) or drawn
    outputs = (before.outputs, before.asks_to_overwrite) != (after.outputs, after.asks_to_overwrite)
    messages = [note for note in after.notes if note.startswith(f"--{option.name} changes nothing here: ")]
    assert (settings, outputs or option.fate == "setting", bool(messages)) == {
        "setting": (True, True, False),
        "file": (False, True, False),
        "moot": (False, False, True),
    }[option.fate]


def test_nothing_but_the_words_typed_is_the_recipe_of_that_name():
    for module, inputs, more in (
        (generate, {"prompts": "a house", "seed": 0}, {}),
        (dream, {"text": "a house"}, {"steps": 21_000}),
        (imagine, {"text": "a house", "seed": 0}, {"steps": 21_000}),
        (notebook, {"texts": "a house", "seed": 0}, {}),
    ):
        plan = module.plan(inputs, memory=10**11) if module is generate else module.plan(inputs)
        named = Settings(**{**presets.load(plan.preset).settings, **more, "prompt": "a house", "seed": 0})
        assert picture_settings(plan.settings) == picture_settings(named)


def test_tables_and_importing_need_no_torch():
    code = "import sys; from vqclip_nb.compat import generate, dream, imagine, notebook, importing, other_tools; "
    code += "dream.plan({'text': 'a'}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_generate_paints_as_it_was_typed_and_the_paint_line_paints_the_same(tmp_path, capsys):
    words = "-p red:2|blue:-0.5 -i 6 -s 32 24 -cuts 2 -se 3 -o output.png -cd cpu -opt AdamW -d --num-cuts 3"
    assert vqclip("generate", *words.split(), "-vid") == 0
    output = capsys.readouterr()
    assert "--deterministic changes nothing here" in output.err
    assert "Written: output.png, output.mp4" in output.err
    run = Path(re.fullmatch(r"Painted: (\S+)/result.png", output.out.splitlines()[-1])[1])
    assert len(list(run.glob("frames/*.jpg"))) == 6
    with Image.open("output.png") as written, Image.open(run / "result.png") as result:
        assert written.tobytes() == result.tobytes()
    settings = load_settings("output.png")
    assert (settings.prompt, settings.steps, settings.size) == ("red:2 | blue:-0.5", 6, (32, 24))
    assert (settings.cutn, settings.optimizer, settings.augments) == (3, "adamw", "Af Pe Ji Er")

    line = re.search(r"^Equivalent command: (.*)$", output.err, re.MULTILINE)[1]
    (tmp_path / "again").mkdir()
    again = [word.replace("output.png", "again/output.png") for word in shlex.split(line)[1:]]
    assert vqclip(*again, "--quiet") == 0
    with Image.open("output.png") as one, Image.open("again/output.png") as other:
        assert one.tobytes() == other.tobytes()


def same_pixels(one, other):
    with Image.open(one) as first, Image.open(other) as second:
        return first.tobytes() == second.tobytes()


def test_dream_writes_the_pictures_that_big_sleep_did_while_it_paints(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vqclip_nb.models.load_biggan", lambda name: ToyBigGAN((32, 32)), raising=False)
    words = ["red", "--save-progress", "--save_every=2", "--iterations", "5", "--epochs", "1", "-n", "2"]
    words += ["--image_size", "128", "--text_min", "blue|green", "--append_seed", "--save_best", "--ema-decay=.9"]
    assert vqclip("dream", *words, "--noopen_folder", "--device", "cpu") == 0
    output = capsys.readouterr()
    assert "--open_folder changes nothing here" in output.err
    names = {path.name for path in tmp_path.iterdir()} - {"runs"}
    stem = "red_wout_blue--green"
    assert names == {f"{stem}.{end}.png" for end in ("0", "0.best", "0.0", "1.0")}
    (run,) = Path("runs").iterdir()
    assert same_pixels(f"{stem}.0.png", run / "result.png")
    settings = load_settings(f"{stem}.0.png")
    assert settings.prompt == "red | blue:-1 | green:-1"
    assert (settings.steps, settings.distance, settings.average, settings.canvas) == (5, "cosine", 0.9, "biggan/128")
    assert settings.canvas_options["penalty"] == 1

    for answer, status in (("n", 0), ("y", 0)):
        before = Path(f"{stem}.0.png").stat().st_mtime_ns
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        assert vqclip("dream", *words, "--device", "cpu", "--quiet") == status
        assert (Path(f"{stem}.0.png").stat().st_mtime_ns == before) == (answer == "n")


def test_imagine_writes_its_jpegs_and_films(tmp_path, capsys):
    words = ["red", "--num_layers=2", "--hidden-size", "8", "--image_width", "32", "--epochs", "1", "--iterations", "7"]
    assert vqclip("imagine", *words, "--save_every", "3", "--save_gif", "--save_video", "--seed", "4", "--quiet") == 0
    names = {path.name for path in tmp_path.iterdir()} - {"runs"}
    assert names == {"red.jpg", "red.000001.jpg", "red.000002.jpg", "red.gif", "red.mp4"}
    settings = load_settings("red.jpg")
    assert (settings.canvas, settings.steps, settings.cutn, settings.seed) == ("siren", 7, 4, 4)
    assert settings.accumulate == 4
    assert (settings.optimizer, settings.averaging_weight, settings.lr) == ("adamp", 0.3, 1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a b", "--save_progress", "--iterations", "200"], {"text": "a b", "save_progress": True, "iterations": 200}),
        (["--save_progress", "a b"], {"save_progress": True, "text": "a b"}),
        (["a", "b.png", "--nosave-progress"], {"text": "a", "img": "b.png", "save_progress": False}),
        (["--text=a=b", "--save_progress=False", "-n", "9"], {"text": "a=b", "save_progress": False, "num_cutouts": 9}),
        (["--save_progress", "True", "-5 degrees"], {"save_progress": True, "text": "-5 degrees"}),
        (["--epochs", "1", "--", "--dashes"], {"epochs": 1, "text": "--dashes"}),
    ],
)
def test_words_are_read_as_fire_read_them(words, expected):
    seen = {}
    with mock.patch("vqclip_nb.cli.dream.paint", return_value=0), mock.patch("vqclip_nb.cli.dream.plan", seen.update):
        assert vqclip("dream", *words) == 0
    assert {name: dream.TOOL.read(seen)[name] for name in seen} == expected


def test_deep_dazes_story_shows_more_words_each_epoch_and_old_ones_leave():
    text = " ".join(f"w{number}" for number in range(1, 120))
    inputs = {"text": text, "create_story": True, "iterations": 4, "story_words_per_epoch": 57}
    plan = imagine.plan(inputs)
    assert plan.settings.steps == 12
    payload = {
        prompt.text: [value_at(prompt.weight, step) for step in range(12)]
        for prompt in prompts.parse(plan.settings.prompt)
    }
    assert list(payload.values()) == [[1] * 4 + [0] * 8, [0] * 4 + [1] * 4 + [0] * 4, [0] * 8 + [1] * 4]
    assert [words.split()[0] for words in payload] == ["w1", "w13", "w70"]
    parts = imagine.plan({"text": "a king - a queen", "create_story": True, "story_separator": "-", "iterations": 2})
    assert [prompt.text for prompt in prompts.parse(parts.settings.prompt)] == ["a king", "a queen"]


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "/tmp/x", "a\\b", "x" * 400, "…" * 300, "\x1b[31mred", "..", "a{0}b"]
)
def test_a_text_as_a_name_stays_in_this_folder_whatever_it_says(text):
    for module in (dream, imagine):
        outputs = module.plan({"text": text, "save_progress": True}).outputs
        for name in (str(outputs.picture), outputs.numbered.format(12)):
            assert Path(name).name == name
            assert len(name.encode()) < 256
            assert "\x1b" not in name
            assert not name.startswith("..")


def test_a_story_is_painted_phrase_by_phrase_and_begins_again():
    inputs = {"prompts": "red:2 | fog:-1^a ship: night", "change_prompt_every": 10, "iterations": 35}
    settings = generate.plan({**inputs, "image_prompts": "a.png:0.5"}).settings
    weights = {prompt.text: prompt.weight for prompt in prompts.parse(settings.prompt)}
    (picture,) = map(prompts.parse_picture, settings.image_prompts)
    for step in range(35):
        first = (step // 10) % 2 == 0
        seen = {text: value_at(weight, step) for text, weight in weights.items()}
        assert seen == {"red": 2.0 * first, "fog": -1.0 * first, "a ship: night": 1.0 * (not first)}
        assert value_at(picture.weight, step) == 0.5 * (step < 10)


def test_a_run_without_end_lasts_until_it_is_stopped():
    endless = generate.plan({"prompts": "red", "iterations": -1})
    assert endless.settings.steps == 100_000
    assert endless.notes == (
        "nothing ends --iterations -1 there; here 100,000 steps do, or Ctrl-C, which keeps the picture",
    )
    story = generate.plan({"prompts": "red^blue", "iterations": -1, "change_prompt_every": 10}).settings
    assert story.steps == 10_000
    assert generate.plan({"prompts": "red", "iterations": 0}).settings.steps == 1
    with pytest.raises(
        SettingsError, match="a story of 1,500 changes is too long; show each phrase for 15 steps or more"
    ):
        generate.plan({"prompts": "red^blue", "iterations": 15_000, "change_prompt_every": 10})


def test_a_picture_is_never_painted_over_the_one_that_it_is_painted_after():
    for module, suffix in ((dream, ".png"), (imagine, ".jpg")):
        Image.new("RGB", (32, 32), "red").save(f"mine{suffix}")
        assert module.plan({"img": f"mine{suffix}"}).outputs.picture == Path(f"_mine{suffix}")
    assert imagine.plan({"img": "elsewhere/mine.jpg"}).outputs.picture == Path("mine.jpg")


def test_the_bounds_of_cutouts_hold_for_the_demo_models_too():
    settings = imagine.plan({"text": "a house", "lower_bound_cutout": 0.3}).on_demo().settings
    assert (settings.cutouts, settings.crop_sizes) == ("uniform", "0.3-1")


@pytest.mark.parametrize("kind", ["pixels", "gradient"])
def test_noise_to_begin_with_is_a_picture_beside_the_output_that_the_seed_fixes(kind, tmp_path):
    words = ["-p", "red", "-i", "1", "-s", "48", "32", "-cuts", "1", "-sd", "5", "-cd", "cpu", "--quiet"]
    (tmp_path / "b").mkdir()
    for name in ("a.png", "b/a.png"):
        assert vqclip("generate", *words, "-in", kind, "-o", name) == 0
    first, second = (Image.open(tmp_path / name) for name in ("a.noise.png", "b/a.noise.png"))
    assert first.size == (48, 32)
    assert first.tobytes() == second.tobytes()
    red = [[first.getpixel((x, y))[0] for x in range(48)] for y in range(32)]
    if kind == "gradient":
        assert red[0] == red[-1]
        assert sorted(red[0]) in (red[0], red[0][::-1])
    else:
        assert len({colour for row in red for colour in row}) > 200
    assert load_settings("a.png").init_image.startswith("sha256:")


def test_a_zooming_film_is_a_film_of_ours(tmp_path):
    words = "-p red -i 9 -s 32 -cuts 2 -zvid -zs 3 -zse 2 -zsc 1.1 -zsx 2 -cd cpu"
    assert vqclip("generate", *words.split(), "--quiet") == 0
    settings = load_settings("output.png")
    assert (settings.frame_steps, settings.first_steps, settings.zoom, settings.shift_x) == (2, 3, 1.1, 2)
    assert (settings.border, settings.fps) == ("wrap", 10)
    assert Path("output.mp4").exists()


def test_the_first_gpu_by_name_is_the_best_device_there_is():
    assert generate.plan({"cuda_device": "cuda:0"}).settings.device == "auto", "the CPU, where there is none, as there"
    assert generate.plan({"cuda_device": "cuda:1"}).settings.device == "cuda:1"


def test_the_size_that_was_left_out_goes_by_the_memory_as_there():
    sizes = [generate.plan({}, memory=memory).settings.size[0] for memory in (None, 8 * 2**30, 8 * 2**30 + 1)]
    assert sizes == [256, 304, 512]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a", "--epochs", "200"], "--epochs 200 of --iterations 1050 are 210,000 steps, more than 100,000"),
        (["a", "--image_size", "300"], "--image_size must be 128, 256 or 512, got 300"),
        (["a", "--num_cuts", "4"], "there is no option '--num_cuts'; did you mean --num_cutouts?"),
        (["a", "--bilinear=maybe"], "--bilinear must be True or False, got 'maybe'"),
        ([], 'there is nothing to imagine; give a text, as in "a pyramid made of ice", or --img FILE'),
        (["a", "pyramid", "of", "ice"], "a text of several words needs quotes: 'a pyramid of ice'"),
        (["a", "b.png", "c", *"d" * 30], "there is no argument"),
    ],
)
def test_what_dream_refuses_is_one_line(capsys, words, sentence):
    assert vqclip("dream", *words) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert len(output.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-i", "many"], "--iterations must be a whole number, got 'many'"),
        (
            ["-cutm", "new"],
            "--cut_method must be one of latest, updatedpooling, nrupdated, updated, original, got 'new'",
        ),
        (["-o", "a.bmp"], "output must end in .png, .jpg, .jpeg, .webp, got 'a.bmp'"),
        (["-o", "gone/a.png"], "output must be a file in an existing folder, got 'gone/a.png'"),
        (["-ckpt", "checkpoints/mine.ckpt"], "`vqclip models add mine --config checkpoints/mine.yaml --weights"),
        (["-p", "a", "red", "house"], "put what to paint in quotes: `vqclip generate -p 'a red house'`"),
        (["a house"], "put what to paint in quotes: `vqclip generate -p 'a house'`"),
        (["--iteratoins", "9"], "there is no option '--iteratoins'; did you mean --iterations?"),
        (["-vsd", "frames"], "--video_style_dir cannot be had here: write the prompt into the file that"),
        (
            ["-p", "a^b", "-cpe", "1", "-i", "5000"],
            "a story of 5,000 changes is too long; show each phrase for 5 steps or more",
        ),
    ],
)
def test_a_wrong_word_is_one_line_and_nothing_is_written(tmp_path, capsys, words, sentence):
    assert vqclip("generate", *words) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert len(output.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_model_or_a_network_the_command_that_paints_at_once_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("vqclip_nb.models.download.fetch", FETCH)
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VQCLIP_OFFLINE", "1")
    assert vqclip("generate", "-p", "a house", "-i", "2") == 2
    output = re.search(r"`(vqclip generate --demo .*?)` needs no download", capsys.readouterr().err)[1]
    assert vqclip(*shlex.split(output)[1:], "-s", "32", "-cuts", "2", "--quiet", "-p", "red") == 0
    assert Image.open("output.png").size == (32, 32)


def test_on_demo_counts_what_was_typed_and_the_rest_suits_the_demo():
    words = {
        "generate": {"prompts": "a house", "num_cuts": 3, "optimiser": "SGD"},
        "dream": {"text": "a house", "lr": 0.2},
    }
    words |= {"imagine": {"text": "a house", "num_layers": 3, "center_bias": True, "image_width": 64, "epochs": 2}}
    typed = {
        "generate": {"cutn": 3, "optimizer": "sgd", "seed": None},
        "dream": {"lr": 0.2},
        "imagine": {
            "canvas": "siren",
            "layers": 3,
            "cutouts": "uniform-centre",
            "size": 64,
            "steps": 2100,
            "seed": None,
        },
    }
    for tool, inputs in words.items():
        settings = TOOLS[tool].plan(inputs).on_demo().settings
        expected = {**typed[tool], "prompt": "a house"}
        expected = {name: settings.seed if value is None else value for name, value in expected.items()}
        assert picture_settings(settings) == picture_settings(Settings(**expected))


def test_a_long_run_keeps_a_thousand_frames_and_each_that_is_written():
    for module, every in ((dream, 10), (imagine, 20)):
        plan = module.plan({"text": "a house"})
        assert (plan.settings.steps, plan.settings.every) == (21_000, every)
        assert plan.outputs.every % every == 0
    assert generate.plan({}).settings.every == 1


def test_a_long_run_says_how_long_and_a_short_one_does_not(monkeypatch):
    seconds = iter(range(100))
    monkeypatch.setattr("vqclip_nb.compat.copies.time.monotonic", lambda: float(next(seconds)))
    long, short = Duration(21_000, "20 epochs of 1050"), Duration(50)
    messages = [long.add(step) for step in range(1, 6)]
    assert messages == [
        None,
        None,
        "21,000 steps (20 epochs of 1050) take about 6 h here; Ctrl-C ends it and keeps the picture so far",
        None,
        None,
    ]
    assert not any(short.add(step) for step in range(1, 6))
    assert long.first_message == "21,000 steps (20 epochs of 1050); an estimate of the time follows"
    assert short.first_message is None
    assert [duration_text(seconds) for seconds in (90, 1800, 50_000, 500_000)] == [
        "about 90 s",
        "about 30 min",
        "about 14 h",
        "about 6 days",
    ]


def test_the_settings_that_are_taken_from_elsewhere_exist_and_are_explained():
    names = {field.name for field in fields()}
    for peer in peers().values():
        assert set(peer.direct.values()) <= names
        assert all(peer.row(option).fate == "here" for option in peer.direct)
        options = [name for row in peer.rows for name in row.names]
        assert len(options) == len(set(options))
        assert not peer.preset or presets.load(peer.preset)
