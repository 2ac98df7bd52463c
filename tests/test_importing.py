"""Old work of other tools is read as settings, what cannot be carried is said, and a hostile file does no harm."""

import json
import shlex

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vqclip_nb import cli, load_settings
from vqclip_nb.compat.importing import read
from vqclip_nb.errors import PictureError, SettingsError
from vqclip_nb.prompts import parse
from vqclip_nb.schedules import value_at

SCRIPT = """#!/bin/bash
TEXT="An apple in a bowl"
# python generate.py -p "not this one"
python generate.py -p "$TEXT | surreal:0.5" -i 300 \\
    -s 256 256 -opt Adagrad -lr 0.2 -vsd frames -in pixels -o "$OUT/a.png" > log.txt
for i in 1 2; do python3 generate.py --prompts="a house^a castle" -cpe 50 -i 100 -ii $FILE; done
dream "a pyramid made of ice" --num_cutouts=16 --epochs 1
"""
PYTTI = {
    "scenes": "a house:1_r | fog:-0.5 || a castle: by night:2:0.3",
    "scene_suffix": " | trending:0.3",
    "steps_per_scene": 60,
    **{"width": 360, "height": 180, "image_model": "VQGAN", "vqgan_model": "sflickr", "ViTB32": True, "RN50": True},
    **{"input_audio": "song.mp3", "cutouts": 30, "seed": 123456, "smoothing_weight": 0.05, "file_namespace": "default"},
}
DISCO = {
    "text_prompts": {"100": ["later"], "0": ["a lighthouse:5", "yellow"]},
    **{
        "steps": 240,
        "width_height": [1280, 768],
        "seed": 42,
        "ViTB32": True,
        "ViTB16": True,
        "eta": 0.8,
        "skip_steps": 10,
    },
}
PIXRAY = """
prompts: a red house | watercolor:0.5
quality: better
aspect: square
seed: 5
filters: wallpaper
learning_rate: 0.15
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def one(path):
    (imported,) = read(path)
    return imported.settings, " ; ".join(imported.lost)


def picture(path, **texts):
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name.replace("__", ":"), text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def test_a_script_gives_the_settings_of_each_of_its_commands(here):
    apple, story, ice = read(written(here / "old.sh", SCRIPT))
    assert apple.settings.prompt == "An apple in a bowl | surreal:0.5"
    assert (apple.settings.steps, apple.settings.size, apple.settings.optimizer) == (300, (256, 256), "adagrad")
    assert any(sentence.startswith("--video_style_dir: ") for sentence in apple.lost)
    assert apple.settings.init_image is None
    assert any(sentence.startswith("--init_noise: ") for sentence in apple.lost)
    house, castle = parse(story.settings.prompt)
    assert [value_at(house.weight, step) for step in (0, 49, 50)] == [1, 1, 0]
    assert [value_at(castle.weight, step) for step in (0, 49, 50)] == [0, 0, 1]
    assert story.settings.init_image is None
    assert any(sentence.startswith("$FILE: only the shell") for sentence in story.lost)
    assert (ice.preset, ice.settings.cutn, ice.settings.steps) == ("bigsleep", 16, 1050)


def test_what_only_a_shell_knows_is_named_once_and_a_prompt_of_it_is_an_error(here):
    script = 'OPT=AdamW\nSEED=`shuf -i 1-9 -n 1`\npython generate.py -p="a box" -opt="$OPT" --seed=$SEED -o=$1 -ii=$1\n'
    settings, lost = one(written(here / "zoom.sh", script))
    assert (settings.prompt, settings.optimizer, settings.init_image) == ("a box", "adamw", None)
    assert lost.count("$1: only the shell") == lost.count("$SEED: only the shell") == 1
    with pytest.raises(
        SettingsError, match=r"line 1: only the shell knows its prompt; write the text in place of \$TEXT"
    ):
        read(written(here / "random.sh", 'python generate.py -p "$TEXT" -i 5'))


def test_a_pytti_file_becomes_scenes_and_parts_of_the_picture(here):
    settings, lost = one(written(here / "settings.txt", PYTTI))
    prompts = parse(settings.prompt)
    assert [prompt.text for prompt in prompts] == ["a house", "fog", "trending", "a castle: by night", "trending"]
    assert prompts[0].region.box((100, 50)) == (50, 0, 100, 50)
    assert [value_at(prompts[3].weight, step) for step in (59, 60)] == [0, 2]
    assert prompts[3].stop == 0.3
    assert (settings.canvas, settings.perceptor, settings.steps) == ("vqgan/sflckr", "ViT-B/32 + RN50", 120)
    assert (settings.size, settings.cutn, settings.seed, settings.smoothness) == ((360, 180), 30, 123456, 0.05)
    assert "input_audio: numbers can follow the steps" in lost


def test_pyttis_animation_becomes_a_film(here):
    moving = {"animation_mode": "2D", "steps_per_frame": 20, "pre_animation_steps": 40, "frames_per_second": 10}
    moves = {"translate_x": "3", "translate_y": "2*sin(t)", "zoom_x_2d": "1", "rotate_2d": 0}
    settings, lost = one(written(here / "a.json", {**PYTTI, **moving, **moves}))
    assert (settings.frame_steps, settings.first_steps, settings.fps, settings.shift_x) == (20, 40, 10, 3)
    assert (settings.shift_y, settings.zoom) == (0, 1)
    assert "translate_y: " in lost
    assert "zoom_x_2d: `--frame-steps 10 --zoom 1.02`, a factor" in lost
    still, _ = one(written(here / "b.json", {**PYTTI, **moving, "animation_mode": "off"}))
    assert still.frame_steps == 0


def test_disco_settings_keep_the_first_prompts_and_say_what_is_gone(here):
    settings, lost = one(written(here / "batch(0)_settings.txt", DISCO))
    assert settings.prompt == "a lighthouse:5 | yellow"
    assert (settings.size, settings.steps, settings.seed) == ((1280, 768), 240, 42)
    assert (settings.perceptor, settings.cutouts) == ("ViT-B/32 + ViT-B/16", "overview")
    assert "text_prompts of later frames" in lost
    assert "skip_steps" in lost
    assert "eta" not in lost, "it has no meaning here, and nothing is lost with it"


def test_discoart_rkhamilton_and_aphantasia_are_read_from_yaml(here):
    content = "text_prompts: [a lighthouse:3, 'fog:-1']\n"
    content += "clip_models: [ViT-B-32::openai, RN50::openai, ViT-B-32::laion2b_e16]\n"
    settings, lost = one(
        written(here / "da.yml", content + "steps: 250\nwidth_height: [640, 512]\ncut_ic_pow: 1.0\nseed: 7\n")
    )
    assert settings.prompt == "a lighthouse:3 | fog:-1"
    assert read(here / "da.yml")[0].tool == "DiscoArt"
    assert settings.perceptor == "ViT-B/32 + RN50 + open_clip/ViT-B-32/laion2b_e16"
    assert (settings.steps, settings.seed, settings.size) == (250, 7, (640, 512))
    assert "cut_ic_pow: " in lost
    content = "text_prompts: a house | oil\niterations: 80\noutput_image_size: [320, 256]\n"
    content += "adaptiveLR: true\nz_smoother: true\n"
    settings, lost = one(written(here / "rk.yaml", content + "vqgan_model_name: vqgan_imagenet_f16_1024\n"))
    assert (settings.prompt, settings.steps, settings.size) == ("a house | oil", 80, (320, 256))
    assert (settings.plateau, settings.canvas, settings.cutouts) == (20, "vqgan/imagenet_f16_1024", "updated")
    assert "z_smoother: " in lost
    content = {
        "in_txt": "a sea",
        "in_txt0": "fog",
        "size": "640-360",
        "samples": 90,
        "colors": 1.4,
        "lrate": 0.07,
        "aest": 1,
    }
    settings, lost = one(written(here / "ap.json", content))
    assert (settings.prompt, settings.size, settings.cutn, settings.lr) == ("a sea | fog:-0.5", (640, 360), 90, 0.07)
    assert (settings.canvas, settings.canvas_options["colours"]) == ("fourier", 1.4)
    assert "aest: " in lost
    settings, lost = one(written(here / "dwt.json", {**content, "dwt": True, "wave": "sym8", "sharp": 0.4}))
    assert settings.canvas == "wavelets"
    assert settings.canvas_options == {"wave": "sym8", "sharp": 0.4, "contrast": 1.1, "colours": 1.4}


def test_pixray_is_read_from_yaml_and_from_its_pictures(here):
    settings, lost = one(written(here / "pixray.yaml", PIXRAY))
    assert (settings.steps, settings.cutn, settings.size, settings.textoff) == (300, 36, (432, 432), 0.1)
    assert settings.perceptor == "RN50 + ViT-B/32 + ViT-B/16"
    assert [settings.lr.at(step) for step in (0, 224, 225)] == [0.15, 0.15, 0.015]
    assert "filters: `--seamless` for tiler" in lost
    assert one(written(here / "first.yaml", PIXRAY.replace("seed: 5", "seed: 0")))[0].seed == 0
    assert one(written(here / "rough.json", {**PYTTI, "smoothing_weight": 0}))[0].smoothness == 0
    settings, lost = one(written(here / "tiles.yaml", PIXRAY.replace("wallpaper", "tiler")))
    assert settings.seamless
    assert "filters" not in lost
    settings, lost = one(written(here / "c.yaml", PIXRAY + "custom_loss: aesthetic:2,smoothness:0.5,resmem,edge"))
    assert (settings.losses, settings.smoothness) == ("aesthetic:2 | edges:1", 0.5)
    assert "the loss resmem: " in lost
    texts = {"pixray_prompts": "['a cat']", "pixray_quality": "draft", "pixray_init_image": "/etc/x.png"}
    settings, lost = one(picture(here / "a.png", Software="pixray (v1.2)", pixray_seed_used="77", **texts))
    assert (settings.prompt, settings.steps, settings.seed, settings.init_image) == ("a cat", 200, 77, None)
    assert "init_image: a path inside a picture is not opened" in lost


def test_rkhamiltons_and_nerdyrodents_and_the_notebooks_pictures_are_read(here):
    texts = {"text_prompts": "a house:2 ^ a ship", "iterations": "100", "cut_method": "original", "seed": "9"}
    settings, _ = one(
        picture(here / "rk.png", noise_prompts="12:0.5", image_prompts="b.png", init_image="None", **texts)
    )
    house, ship = parse(settings.prompt)
    assert [value_at(house.weight, step) for step in (49, 50)] == [2, 0]
    assert [value_at(ship.weight, step) for step in (49, 50)] == [0, 1]
    assert (settings.cutouts, settings.seed, settings.noise_prompts) == ("original", 9, "12:0.5")
    assert settings.image_prompts == ()
    settings, lost = one(picture(here / "nr.png", comment="['a house:0.5', 'fog']"))
    assert settings.prompt == "a house:0.5 | fog"
    assert "all but the prompts" in lost
    xmp = "<dc:title><rdf:Seq><rdf:li>a sea</rdf:li></rdf:Seq></dc:title><dc:seed><rdf:li>31</rdf:li></dc:seed>"
    settings, _ = one(picture(here / "nb.png", **{"XML__com.adobe.xmp": xmp}))
    assert (settings.prompt, settings.seed) == ("a sea", 31)


def test_a_notebooks_fields_are_read_and_none_of_its_code_runs(here):
    source = [
        'texts = "a sea | oil" #@param {type:"string"}\n',
        "width =  320#@param\n",
        "max_iterations = 90 #@param\n",
    ]
    source += ["height = __import__('os').mkdir('harm') #@param\n", 'model = "vqgan_wikiart_16384" #@param [1]\n']
    settings, _ = one(written(here / "old.ipynb", {"cells": [{"cell_type": "code", "source": source}]}))
    assert (settings.prompt, settings.size, settings.steps) == ("a sea | oil", (320, 300), 90)
    assert settings.canvas == "vqgan/wikiart_16384"
    assert not (here / "harm").exists()


def test_the_command_writes_settings_that_paint_takes_and_overwrites_nothing(here, capsys):
    source = written(here / "old.txt", "python generate.py -p 'a house' -i 30 -s 64 64 -sd 3")
    assert cli.main(["import", str(source)]) == 0
    output = capsys.readouterr().out
    settings = load_settings("old.settings.json")
    assert (settings.prompt, settings.steps, settings.seed) == ("a house", 30, 3)
    assert "equivalent command: vqclip paint 'a house' --preset nerdyrodent --size 64 64 --seed 3 --steps 30" in output
    (line,) = (part for part in output.split("`") if part.startswith("vqclip paint --settings"))
    assert shlex.split(line)[-1] == "old.settings.json"
    before = (here / "old.settings.json").read_bytes()
    assert cli.main(["import", str(source)]) == 2
    assert "exists already; add --overwrite, or choose another file with --out" in capsys.readouterr().err
    assert (here / "old.settings.json").read_bytes() == before
    assert cli.main(["import", str(source), "--overwrite"]) == 0
    assert cli.main(["import", str(written(here / "two.sh", SCRIPT)), "--out", "two.json"]) == 0
    assert {path.name for path in here.glob("two-*.json")} == {f"two-{number}.json" for number in (1, 2, 3)}


BOMB = "a: &a [x, x]\n" + "".join(f"k{n}: &b{n} [*{'a' if not n else f'b{n - 1}'}, *a]\n" for n in range(30))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.yaml", BOMB, "it has an alias, which no settings need"),
        ("a.yaml", "!!python/object/apply:os.system ['touch harm']", "could not determine a constructor"),
        ("a.yaml", "[" * 100_000, "cannot be read"),
        ("a.json", '{"a":' * 100_000, "cannot be read"),
        ("a.txt", "{" + '"x": ' + "9" * 6000 + "}", "cannot be read"),
        ("a.txt", "just a poem about how I dream of houses", "holds no known settings"),
        ("a.json", '{"name": "b", "version": 3, "scripts": {}}', "holds settings of none of these tools"),
        ("a.json", json.dumps({**PYTTI, "scenes": ""}), "the settings of pytti have no prompt"),
        ("a.json", json.dumps({**PYTTI, "palette_size": [1], "image_model": "Limited Palette"}), "of the wrong type"),
        ("a.sh", 'python generate.py -p "a', "line 1: a quote is never closed"),
        ("a.sh", "\npython generate.py -p a --what 3", "line 2: generate.py has no option '--what'"),
        ("a.sh", "python generate.py -i ten -p a", "line 1: --iterations must be a whole number, got 'ten'"),
        ("a.json", "x" * 5_000_001, "more than 5,000,000 bytes"),
        ("a.png", "no picture", "cannot be read as a picture"),
        ("a.csv", "\0\0", "cannot be read"),
        ("a.json", json.dumps({f"option{number}": 1 for number in range(2000)}), "has 2,000 options, and no tool has"),
        ("a.sh", "\n" * 1_000_000 + "a=" + " " * 1_000_000, "holds no known settings"),
        ("a.sh", ("vqclip" + " " * 9000 + "\n") * 300 + "x" * 2_000_000, "holds no known settings"),
        ("a.ipynb", json.dumps({"cells": [{"source": "a = " + " " * 3_000_000 + "#@param"}]}), "no known settings"),
    ],
)
def test_a_file_that_is_hostile_or_of_nobody_is_one_line(here, capsys, name, content, sentence):
    path = written(here / name, content)
    assert cli.main(["import", str(path)]) == 2
    output = capsys.readouterr().err
    assert sentence in output
    assert len(output.splitlines()) == 1
    assert len(output) < 700
    assert [each.name for each in here.iterdir()] == [name]


def test_values_that_are_not_allowed_are_left_out_and_named(here):
    wild = {
        **PYTTI,
        "cutouts": 10**9,
        "seed": "soup",
        "smoothing_weight": [1],
        "width": 9_999_999,
        "cut_pow": "1; rm -rf",
    }
    settings, lost = one(written(here / "a.json", wild))
    assert settings.cutn == 40
    for name in ("cutouts", "seed", "smoothing_weight", "size", "cut_pow"):
        assert f"{name}: " in lost


def test_what_is_longer_than_any_setting_is_left_out(here):
    settings, lost = one(
        written(here / "a.json", {**PYTTI, "scene_prefix": " [" * 500_000, "seed": "9" * 4000, "x" * 500: 1})
    )
    assert settings.prompt.startswith("a house")
    assert "scene_prefix: it has more than 20,000 letters" in lost
    assert len(lost) < 3000
    info = PngInfo()
    info.add_text("pixray_prompts", "a" * 3_000_000, zip=True)
    info.add_text("Software", "pixray")
    Image.new("RGB", (8, 8)).save(here / "bomb.png", pnginfo=info)
    with pytest.raises(PictureError, match="cannot be read as a picture"):
        read(here / "bomb.png")


def test_our_own_picture_names_the_command_that_knows_it(here):
    with pytest.raises(SettingsError, match="was painted by vqclip; `vqclip info` shows how"):
        read(picture(here / "ours.png", vqclip="{}"))
