"""The classes `Imagine` of Big Sleep and Deep Daze: the same arguments and methods, on this package's loop."""

import inspect
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from tests import crash_worker
from tests.toys import toy_models
from vqclip_nb import load_settings
from vqclip_nb.compat import big_sleep, deep_daze
from vqclip_nb.errors import SettingsError
from vqclip_nb.runs.reader import RunInfo

BIG_SLEEP = """text=None img=None encoding=None text_min='' lr=0.07 image_size=512 gradient_accumulate_every=1
    save_every=50 epochs=20 iterations=1050 save_progress=False bilinear=False open_folder=True seed=None
    append_seed=False
    torch_deterministic=False max_classes=None class_temperature=2.0 save_date_time=False save_best=False
    experimental_resample=False ema_decay=0.99 num_cutouts=128 center_bias=False larger_clip=False"""
DEEP_DAZE = """text=None img=None lr=1e-05 num_layers=16 hidden_size=256 batch_size=4 gradient_accumulate_every=4
    epochs=20 iterations=1050 save_every=100 image_width=512 save_progress=True seed=None open_folder=True
    save_date_time=False
    start_image_path=None start_image_train_iters=10 theta_initial=None theta_hidden=None start_image_lr=0.0003
    lower_bound_cutout=0.1 upper_bound_cutout=1.0 saturate_bound=False create_story=False story_start_words=5
    story_words_per_epoch=5 story_separator=None averaging_weight=0.3 gauss_sampling=False gauss_mean=0.6 gauss_std=0.2
    do_cutout=True center_bias=False center_focus=2 jit=True save_gif=False save_video=False model_name='ViT-B/32'
    optimizer='AdamP' clip_encoding=None"""
OURS = {"device": "auto", "runs": "runs", "demo": False}
SMALL = {"epochs": 1, "iterations": 4, "num_cutouts": 2, "demo": True, "device": "cpu", "image_size": 128}


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with toy_models(), crash_worker.no_film():
        yield


@pytest.mark.parametrize(("module", "published"), [(big_sleep, BIG_SLEEP), (deep_daze, DEEP_DAZE)])
def test_the_constructor_takes_what_the_published_one_took(module, published):
    found = inspect.signature(module.Imagine).parameters
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in found.values())
    shown = {name: repr(parameter.default) for name, parameter in found.items() if name not in OURS}
    assert shown == dict(part.split("=") for part in published.split())
    assert {name: found[name].default for name in OURS} == OURS
    assert {option.name: repr(option.default) for option in module.TOOL.options} == shown


def test_a_dream_goes_on_with_other_words_and_begins_anew_after_a_reset(tmp_path):
    dream = big_sleep.Imagine(text="red", save_progress=True, save_every=2, seed=3, **SMALL)
    assert dream() == Path("red.png")
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["red.0.png", "red.1.png", "red.png"]
    first = dream.run

    dream.set_text("blue|green")
    assert dream.filename == Path("blue--green.png")
    assert dream() == Path("blue--green.png")
    second = RunInfo.read(dream.run)
    assert second.parent == (first.name, 4)
    assert (second.current.prompt, second.current.steps, max(second.saved_steps)) == ("blue | green", 8, 8)
    dream()
    assert max(RunInfo.read(dream.run).saved_steps) == 12

    with pytest.raises(SettingsError, match="--encoding cannot be had here: a run must be repeatable from its folder"):
        dream.set_clip_encoding(encoding=[1.0])
    assert dream.filename == Path("blue--green.png"), "nothing was changed"
    dream.set_text("red")
    dream.reset()
    dream()
    with Image.open("red.png") as again:
        assert RunInfo.read(dream.run).parent is None
        assert again.tobytes() == Image.open(first / "result.png").tobytes()


def test_penalties_and_pictures_are_those_that_were_asked_for_last():
    dream = big_sleep.Imagine(text="red", text_min="blue", **SMALL)
    dream.set_clip_encoding(img=Image.new("RGB", (9, 9), "green"))
    dream()
    settings = load_settings(dream.filename)
    assert dream.filename == Path("PIL_img.png")
    assert settings.prompt == ""
    assert len(settings.image_prompts) == 1


def test_deep_daze_paints_its_network_on(tmp_path):
    network = {"num_layers": 2, "hidden_size": 8, "image_width": 16, "batch_size": 1, "gradient_accumulate_every": 1}
    imagine = deep_daze.Imagine(text="red", epochs=1, iterations=3, save_every=2, **network, device="cpu", demo=True)
    imagine()
    imagine.set_clip_encoding(text="blue")
    imagine()
    assert {path.name for path in tmp_path.glob("*.jpg")} == {"red.jpg", "red.000001.jpg", "blue.jpg"} | {
        f"blue.{number:06}.jpg" for number in (2, 3)
    }
    assert RunInfo.read(imagine.run).settings.canvas == "siren"


def test_ctrl_c_ends_it_and_keeps_the_picture_so_far(capsys):
    def press():
        while not list(Path("runs").glob("*/frames/*.jpg")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    dream = big_sleep.Imagine(text="red", **{**SMALL, "iterations": 100_000})
    assert dream().exists()
    presser.join()
    assert "Stopped at step" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"text": "red", "image_size": 100}, "--image_size must be 128, 256 or 512, got 100"),
        ({}, "there is nothing to imagine"),
        ({"text": "red", "lr": "fast"}, "--lr must be a number, got 'fast'"),
        ({"text": "red", "lr": -1}, "lr must be above 0 and up to 10, got -1"),
    ],
)
def test_wrong_arguments_are_refused_when_it_is_made(inputs, sentence):
    with pytest.raises(SettingsError, match=sentence):
        big_sleep.Imagine(**inputs)
