"""The Studio without a browser: every control through its trait, on the real loop with toy models."""

import asyncio
import html
import io
import json
import queue
import re
import shutil
import struct
import sys
import threading
import time
import warnings
import zipfile
import zlib
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from tests import colab
from tests.toys import toy_models
from vqclip_nb import Settings, video
from vqclip_nb.embedded import read
from vqclip_nb.errors import OutOfMemory, PaintWarning, RunError
from vqclip_nb.fields import by_name, live_fields
from vqclip_nb.painting import Painting
from vqclip_nb.runs.background_writer import check_unlocked
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.session import start
from vqclip_nb.studio import Studio, backup, controller, downloads, frontend, job, library, markup, opening, previews
from vqclip_nb.studio.camera_slider import SPANS
from vqclip_nb.studio.chart import chart
from vqclip_nb.studio.controls import SizeControl
from vqclip_nb.studio.presets import all_presets
from vqclip_nb.studio.prompt_box import combine, split
from vqclip_nb.studio.registry import REGISTRY
from vqclip_nb.studio.status import JobStatus, Problem
from vqclip_nb.suggestions import has, surprise, toggle, words

SMALL = {"prompt": "red", "size": (16, 16), "steps": 20, "cutn": 2, "device": "cpu"}
TOOLTIP = "tooltip" if widgets.Text().has_trait("tooltip") else "description_tooltip"
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def toys(monkeypatch, tmp_path):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(str(len(frames)).encode()))
    monkeypatch.setattr(REGISTRY, "job", None)
    monkeypatch.setattr(REGISTRY, "controller", None)
    monkeypatch.chdir(tmp_path)
    with toy_models():
        yield
    if REGISTRY.job:
        REGISTRY.job.stop()
        assert REGISTRY.job.wait(20)


def studio(**values):
    panel = Studio(out="runs", settings=Settings(**SMALL))
    panel.controller.looking.join(20)
    panel.ui.form.load(values)
    return panel


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, [thread.name for thread in threading.enumerate()]
        time.sleep(0.01)


def ended(panel, state="done"):
    until(lambda: REGISTRY.job and not REGISTRY.job.alive)
    panel.controller.tick()
    assert REGISTRY.job.status.state == state, REGISTRY.job.status
    return REGISTRY.job.status


def paused(panel, step=1):
    painting(panel, step)
    panel.ui.pause.click()
    until(lambda: REGISTRY.job.status.state == "paused")
    panel.controller.tick()
    return REGISTRY.job.status


def seen(*parts):
    return [part.layout.display != "none" for part in parts]


def painting(panel, step=1):
    until(lambda: REGISTRY.job.status.step >= step or not REGISTRY.job.alive)
    panel.controller.tick()
    return REGISTRY.job


def upload(widget, data, name="x.png"):
    """As a front end of either version does it."""
    if isinstance(widget.value, dict):
        widget.metadata, widget.data = [{"name": name, "type": "image/png", "size": len(data)}], [data]
        widget._counter = 1
    else:
        widget.value = (
            {
                "name": name,
                "type": "image/png",
                "size": len(data),
                "content": memoryview(data),
                "last_modified": datetime.now(),
            },
        )


def png(colour="blue", **save):
    file = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(file, "PNG", **save)
    return file.getvalue()


def children(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from children(child)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))


def tags(panel):
    parser = Tags()
    for widget in children(panel):
        if isinstance(widget, widgets.HTML):
            parser.feed(widget.value)
    return parser.seen


def test_a_sentence_becomes_a_picture_with_its_film_and_everything():
    panel = studio(prompt="green", steps=12)
    assert (panel.ui.start.disabled, panel.ui.stop.disabled, panel.ui.undo.disabled) == (False, True, True)
    panel.ui.start.click()
    first = REGISTRY.job
    panel.ui.start.click()
    assert REGISTRY.job is first, "a second click starts nothing"
    news = ended(panel)
    assert (news.step, news.steps, panel.ui.view.bar.value) == (12, 12, 12)
    assert "Done" in panel.ui.view.status.value
    assert "polyline" in panel.ui.view.chart.value
    assert Image.open(io.BytesIO(panel.ui.view.picture.value)).size == (16, 16)
    assert read(news.folder / "result.png")["settings"]["prompt"] == "green"
    links = [a for tag, a in tags(panel) if tag == "a"]
    assert [a["download"] for a in links] == ["result.png", "progress.mp4"]
    panel.ui.downloads.buttons["All"].click()
    until(lambda: "run.zip" in panel.ui.downloads.links["All"].value)
    with zipfile.ZipFile(news.folder / "run.zip") as file:
        assert f"{news.folder.name}/result.png" in file.namelist()

    code = html.unescape(panel.ui.downloads.code.value.partition("<pre>")[2].removesuffix("</pre>"))
    assert len(code.splitlines()) == 3
    exec(compile(code, "the code", "exec"), {})
    assert Image.open("picture.png").tobytes() == Image.open(news.folder / "result.png").tobytes()


def test_the_python_of_a_run_that_was_given_a_picture_is_its_replay(tmp_path, capsys):
    Image.new("RGB", (16, 16), "green").save(tmp_path / "given.png")
    inputs = Settings(
        prompt="red", size=(16, 16), steps=3, cutn=2, device="cpu", init_image=str(tmp_path / "given.png")
    )
    first = start(inputs).finish()
    code = downloads.python(RunInfo.read(first.parent))
    assert len([line for line in code.splitlines() if not line.startswith("#")]) == 3
    exec(compile(code, "the code", "exec"), {})
    again = Path(capsys.readouterr().out.strip())
    assert again != first
    assert Image.open(again).tobytes() == Image.open(first).tobytes()


def test_a_word_that_the_demo_does_not_know_is_said_in_the_words_of_the_panel():
    from vqclip_nb.studio.problems import in_titles

    remedy = "A larger model does: `vqclip models` lists them, and --perceptor ViT-B/32 --canvas vqgan/x paint with one"
    assert in_titles(remedy) == "A larger model does: choose Perceptor ViT-B/32 and Canvas vqgan/x"


def test_pause_continue_steer_undo_and_stop():
    panel = studio(steps=4000)
    panel.ui.start.click()
    painting(panel, 5)
    panel.ui.pause.click()
    until(lambda: REGISTRY.job.status.state == "paused")
    panel.controller.tick()
    assert panel.ui.pause.description == "Continue"
    held = REGISTRY.job.status.step
    time.sleep(0.1)
    assert REGISTRY.job.status.step == held
    assert {name for name, control in panel.ui.form.controls.items() if not control.disabled} == (
        live_fields() & panel.ui.form.controls.keys()
    ), "what cannot change in flight is grey"

    panel.ui.form.prompt.text.value = "blue"
    panel.ui.form.controls["lr"].value = "0.25"
    until(lambda: REGISTRY.job.status.settings.lr == 0.25)
    panel.ui.pause.click()
    painting(panel, held + 5)
    panel.ui.undo.click()
    until(lambda: REGISTRY.job.status.state == "paused" and REGISTRY.job.status.step == held)
    assert REGISTRY.job.status.settings.prompt == "red"
    panel.ui.pause.click()
    painting(panel, held + 5)
    panel.ui.form.prompt.text.value = "white"
    until(lambda: REGISTRY.job.status.settings.prompt == "white")
    panel.ui.stop.click()
    news = ended(panel, "stopped")
    assert [change.settings for change in RunInfo.read(news.folder).timeline] == [{"prompt": "white"}]
    assert (news.folder / "result.png").exists()
    assert "everything is kept" in panel.ui.view.status.value

    panel.ui.undo.click()
    until(lambda: REGISTRY.job.status.state == "paused")
    assert REGISTRY.job.status.folder == news.folder
    assert REGISTRY.job.status.step < news.step
    panel.ui.stop.click()
    ended(panel, "stopped")


def test_an_undo_that_cannot_be_is_one_note_and_leaves_all_else_as_it_was():
    panel = studio(steps=5)
    panel.ui.start.click()
    news, message = ended(panel), "There is nothing to undo: no earlier state of this run is kept."
    for _ in range(2):
        panel.ui.undo.click()
    assert REGISTRY.job.status is news
    assert panel.ui.messages.text.value == markup.messages([("note", message, "")])
    assert all(seen(panel.ui.downloads.box, panel.ui.view.looking, panel.ui.more))


def test_after_a_job_that_opens_no_run_the_last_one_is_there_to_be_gone_on_with(monkeypatch):
    panel = studio(steps=5)
    panel.ui.start.click()
    last, picture = ended(panel), panel.ui.view.picture.value

    def there():
        assert all(seen(panel.ui.downloads.box, panel.ui.view.looking, panel.ui.more))
        assert panel.ui.more.description == "Paint 10 more steps"
        assert not panel.ui.undo.disabled
        assert (REGISTRY.job.status.folder, REGISTRY.job.status.losses) == (last.folder, last.losses)
        assert panel.ui.view.picture.value == picture
        assert (panel.ui.form.value("prompt"), panel.ui.form.value("seed")) == ("blue", 3), (
            "and the form is as it was left"
        )

    panel.ui.form.prompt.text.value, panel.ui.form.controls["seed"].value = "blue", 3
    panel.ui.form.controls["out"].value = str(last.folder / "result.png")
    panel.ui.start.click()
    ended(panel, "failed")
    assert "is not a folder" in panel.ui.messages.text.value
    assert "could not begin; the last one is as it was" in panel.ui.view.status.value
    there()
    panel.ui.form.controls["out"].value = "runs"

    gate = threading.Event()
    monkeypatch.setattr(opening, "fetch_models", lambda settings, tell: (gate.wait(20), tell("Fetching")))
    panel.ui.start.click()
    panel.ui.stop.click()
    gate.set()
    ended(panel, "stopped")
    assert panel.ui.messages.text.value == markup.messages([])
    assert "Stopped while loading" in panel.ui.view.status.value
    there()
    panel.ui.more.click()
    news = ended(panel)
    assert (news.step, news.settings.prompt, news.folder) == (15, "blue", last.folder)


def test_a_stop_while_a_run_is_taken_up_again_leaves_it_where_it_stood(monkeypatch):
    from vqclip_nb import session

    panel = studio(steps=5)
    panel.ui.start.click()
    news, begun, gate = ended(panel), session.build_painting, threading.Event()
    monkeypatch.setattr(session, "build_painting", lambda *a, **k: (gate.wait(20), begun(*a, **k))[1])
    panel.ui.more.click()
    until(lambda: "Resuming" in REGISTRY.job.status.message)
    panel.ui.stop.click()
    gate.set()
    stopped = ended(panel, "stopped")
    assert (stopped.step, stopped.steps, stopped.folder) == (5, 15, news.folder)
    assert "Stopped at step 5" in panel.ui.view.status.value
    assert panel.ui.more.description == "Continue this run"


def test_undo_knows_given_pictures_and_takes_back_what_was_just_changed():
    panel = studio(steps=4000)
    panel.ui.images.role.value = "image_prompts"
    upload(panel.ui.images.upload, png("blue"))
    panel.ui.start.click()
    painting(panel, 3)
    panel.ui.pause.click()
    until(lambda: REGISTRY.job.status.state == "paused")
    held = REGISTRY.job.status.step
    panel.ui.form.prompt.text.value = "white"
    until(lambda: REGISTRY.job.status.settings.prompt == "white")
    panel.ui.undo.click()
    until(lambda: REGISTRY.job.status.settings.prompt == "red")
    until(lambda: panel.ui.form.value("prompt") == "red")
    assert (REGISTRY.job.status.step, REGISTRY.job.status.notes) == (held, ())
    panel.ui.pause.click()
    painting(panel, held + 3)


def test_words_written_after_an_undo_was_asked_for_are_painted_and_stay():
    shown, gate = studio(steps=4000, save_every="2"), threading.Event()
    shown.ui.start.click()
    running = painting(shown, 5)
    running._order(lambda active: gate.wait(20))  # a step that takes its time
    shown.ui.undo.click()
    shown.ui.form.prompt.text.value = "white"
    gate.set()
    until(lambda: running.status.settings.prompt == "white" and running.status.state == "paused")
    shown.controller.tick()
    assert shown.ui.form.value("prompt") == "white"


def test_what_is_changed_while_the_run_loads_is_painted_with(monkeypatch):
    from vqclip_nb import session

    build, gate, entered = session.build_painting, threading.Event(), threading.Event()

    def slowly(*values, **options):
        entered.set()
        assert gate.wait(20)
        return build(*values, **options)

    monkeypatch.setattr(session, "build_painting", slowly)
    panel = studio(steps=5)
    panel.ui.start.click()
    until(lambda: "Loading" in REGISTRY.job.status.message)
    panel.ui.form.prompt.text.value = "white"
    gate.set()
    assert ended(panel).settings.prompt == panel.ui.form.value("prompt") == "white"

    gate.clear()
    entered.clear()
    panel.ui.start.click()
    assert entered.wait(20)
    panel.ui.stop.click()
    gate.set()
    assert ended(panel, "stopped").step == 0
    assert "Stopped before the first step" in panel.ui.view.status.value


def test_a_panel_shows_what_the_run_is_painted_with():
    panel = studio(steps=4000, prompt="green", variations=2, seed=5)
    panel.ui.start.click()
    painting(panel, 2)
    again = Studio(out="runs")
    now = {name: again.ui.form.value(name) for name in ("prompt", "size", "variations")}
    assert now == {"prompt": "green", "size": (16, 16), "variations": 2}
    again.ui.view.select(1)
    again.ui.alone.click()
    until(lambda: again.ui.form.value("seed") == 6)
    assert again.ui.form.value("variations") == 1
    again.controller.looking.join(20)
    again.controller.library.read_history()
    again.ui.history.thumbs.children[0].children[1].click()
    assert "A run is going on" in again.ui.messages.text.value
    again.ui.messages.say("Something good.")
    again.ui.stop.click()
    ended(again, "stopped")
    again.ui.history.thumbs.children[0].children[1].click()
    assert "A run is going on" not in again.ui.messages.text.value, "the click that was refused has been made"
    assert "Something good." in again.ui.messages.text.value


def test_variations_are_enlarged_and_one_goes_on_alone():
    panel = studio(variations=3, steps=4000, seed=7)
    panel.ui.start.click()
    painting(panel, 3)
    until(lambda: (panel.controller.tick(), len(panel.ui.view.thumbs.children) == 3)[1])
    panel.ui.view.thumbs.children[1].children[1].click()
    assert panel.ui.view.selected == 1
    panel.ui.alone.click()
    until(lambda: REGISTRY.job.status.settings.variations == 1)
    assert REGISTRY.job.status.settings.seed == 8
    panel.ui.stop.click()
    assert read(ended(panel, "stopped").folder / "result.png")["timeline"][0]["variation"] == 2


def test_a_picture_picked_in_a_pause_is_shown_at_once():
    panel = studio(variations=3, steps=4000)
    panel.ui.start.click()
    step = paused(panel, 3).step
    panel.ui.view.select(1)
    panel.ui.alone.click()
    until(lambda: (panel.controller.tick(), not panel.ui.view.thumbs.children)[1])
    assert (REGISTRY.job.status.step, len(REGISTRY.job.status.previews)) == (step, 1)


@pytest.mark.parametrize("late", [False, True])
def test_a_picture_picked_while_the_run_is_saved_or_later_goes_on_as_a_branch(late, monkeypatch):
    encode, gate = video._encode, threading.Event()
    monkeypatch.setattr(video, "_encode", lambda *inputs: (gate.wait(20), encode(*inputs)))
    panel = studio(variations=3, steps=5, seed=7)
    panel.ui.start.click()
    until(lambda: REGISTRY.job.status.state == "finishing")
    panel.controller.tick()
    if late:
        gate.set()
        ended(panel)
    panel.ui.form.load({"prompt": "blue"})
    first = REGISTRY.job
    panel.ui.view.select(1)
    panel.ui.alone.click()
    gate.set()
    until(lambda: REGISTRY.job is not first)
    settings = ended(panel).settings
    assert (settings.prompt, settings.seed, settings.variations) == ("blue", 8, 1)


def test_look_back_and_go_on_from_a_frame_with_other_words():
    panel = studio(steps=9)
    panel.ui.start.click()
    parent = ended(panel).folder
    assert panel.ui.view.looking.layout.display == ""
    assert panel.ui.view.back.max == 8
    before = panel.ui.view.picture.value
    panel.ui.view.back.value = 3
    assert panel.ui.view.step_looked_at == 4
    assert panel.ui.view.picture.value != before
    panel.ui.form.prompt.text.value = "blue"
    panel.ui.view.again.click()
    child = ended(panel).folder
    story = RunInfo.read(child)
    assert (story.parent, story.current.prompt) == ((parent.name, 4), "blue")


def test_what_goes_on_is_painted_with_what_the_form_says():
    panel = studio(steps=4000)
    panel.ui.start.click()
    held = paused(panel, 12).step
    panel.ui.form.prompt.text.value = "blue"
    panel.ui.stop.click()
    folder = ended(panel, "stopped").folder
    panel.ui.form.controls["steps"].value = 10
    panel.ui.more.click()
    assert painting(panel, held + 1).status.steps == 4000, "so many were made already"
    panel.ui.stop.click()
    held = ended(panel, "stopped").step
    panel.ui.form.controls["steps"].value = held + 3
    panel.ui.form.prompt.text.value = "white"
    panel.ui.more.click()
    news = ended(panel)
    assert (news.folder, news.step, news.settings.prompt) == (folder, held + 3, "white")

    panel.ui.view.back.value = 3
    panel.ui.view.again.click()
    (change,) = RunInfo.read(ended(panel).folder).timeline
    assert (change.step, change.settings) == (4, {"prompt": "white", "steps": held + 3}), "and not as it was in the end"


def test_chips_surprises_examples_and_recipes():
    panel = studio(prompt="a castle")
    assert [chip.description for chip in panel.ui.form.prompt.chips.children] == words()["chips"]["demo"]
    chip = next(chip for chip in panel.ui.form.prompt.chips.children if chip.description == "pixel art")
    chip.click()
    assert panel.ui.form.value("prompt") == "a castle, pixel art"
    assert "vq-on" in chip._dom_classes
    chip.click()
    assert panel.ui.form.value("prompt") == "a castle"
    assert "vq-on" not in chip._dom_classes
    panel.ui.form.prompt.surprise.click()
    assert "{" not in panel.ui.form.value("prompt")
    assert len(panel.ui.form.value("prompt")) > 10
    panel.ui.form.prompt.examples.value = panel.ui.form.prompt.examples.options[1][1]
    assert panel.ui.form.prompt.examples.value == "", "ready to be picked again"
    assert panel.ui.form.value("prompt") == words()["examples"]["demo"]["Landscapes"][0]
    panel.ui.presets.value = "As in 2021"
    assert (panel.ui.form.value("cutouts"), panel.ui.form.value("average")) == ("pooling-published", 0.0)
    panel.ui.presets.value = "Quick sketch"
    assert (panel.ui.form.value("cutouts"), panel.ui.form.value("steps")) == ("pooling", 60)
    panel.ui.form.controls["perceptor"].value = "ViT-B/32"
    assert panel.ui.form.prompt.chips.children[0].description == "trending on artstation"
    for preset in all_presets().values():
        Settings(**preset)


def test_modifiers_come_and_go_wherever_they_stand():
    assert toggle("a:1 | fog:-0.3", "mural") == "a:1 | fog:-0.3 | mural"
    assert toggle("a:1 | mural | fog:-0.3", "mural") == "a:1 | fog:-0.3"
    assert toggle("", "mural") == "mural"
    assert toggle("Mural", "mural") == ""
    assert not has("a muralist, mural painting", "mural")
    grammar = {"sentence": ["a {x}"], "x": ["{y} owl"], "y": ["old"]}
    assert surprise(grammar, __import__("random").Random(0)) == "an old owl"


def test_every_surprise_of_the_demo_pair_is_known_to_it():
    import random

    from training.scenes import all_words

    known, rng = {word.strip(",") for word in all_words()}, random.Random(5)
    for _ in range(200):
        message = surprise(words()["surprise"]["demo"], rng)
        assert not set(message.replace(",", "").split()) - known, message


def test_given_pictures_are_shown_removed_and_painted_with(tmp_path):
    panel = studio(steps=2)
    upload(panel.ui.images.upload, png("blue"))
    assert len(panel.ui.images.shown.children) == 1
    assert not panel.ui.images.upload.value
    panel.ui.images.role.value = "image_prompts"
    (tmp_path / "red.png").write_bytes(png("red"))
    panel.ui.images.place.value = str(tmp_path / "red.png")
    panel.ui.images.add.click()
    panel.ui.images.towards[0][1].value = 0.5
    panel.ui.start.click()
    folder = ended(panel).folder
    description = read(folder / "result.png")["settings"]
    assert description["init_image"].startswith("sha256:")
    assert description["image_prompts"][0].endswith(":0.5")
    panel.ui.images.shown.children[0].children[-1].click()
    assert panel.ui.images.init_image is None
    assert len(panel.ui.images.shown.children) == 1
    upload(panel.ui.images.upload, b"no picture")
    assert "the file is not a picture" in panel.ui.messages.text.value
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    plain = png()
    bomb = plain[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + plain[33:]
    upload(panel.ui.images.upload, bomb)
    assert "more than 100,000,000 pixels" in panel.ui.messages.text.value
    assert len(panel.ui.images.shown.children) == 1
    upload(panel.ui.images.upload, plain)
    assert "pixels" not in panel.ui.messages.text.value


def test_given_pictures_follow_the_run():
    panel = studio(steps=4000)
    panel.ui.images.take(png("white"), "init_image")
    panel.ui.start.click()
    paused(panel, 3)
    run = lambda: len(REGISTRY.job.status.settings.image_prompts)  # noqa: E731

    def shows(count, panel_shown=panel):
        until(
            lambda: run() == count and (panel_shown.controller.tick(), len(panel_shown.ui.images.towards) == count)[1]
        )
        assert len(panel_shown.ui.images.shown.children) == count + 1
        assert panel_shown.ui.images.init_image

    panel.ui.images.take(png("blue"), "image_prompts")
    shows(1)
    panel.ui.undo.click()
    shows(0)
    panel.ui.images.take(png("green"), "image_prompts")
    shows(1)
    panel.ui.pause.click()
    paused(panel, REGISTRY.job.status.step + 2)
    card = panel.ui.images.shown.children[1]
    panel.ui.form.prompt.text.value = "blue"
    panel.ui.undo.click()
    until(lambda: (panel.controller.tick(), panel.ui.form.value("prompt") == "red")[1])
    assert panel.ui.images.shown.children[1] is card, "what is as it was is not drawn anew"
    card.children[-1].click()
    shows(0)
    panel.ui.undo.click()
    shows(1)

    again = studio()
    shows(1, again)
    again.ui.images.take(png("red"), "image_prompts")
    shows(2, again)
    again.ui.stop.click()
    held = ended(again, "stopped").step
    for card in again.ui.images.shown.children[1:]:
        card.children[-1].click()
    again.ui.form.controls["steps"].value = held + 2
    again.ui.more.click()
    assert ended(again).settings.image_prompts == (), "what was removed does not pull"


def test_settings_of_a_picture_are_data_and_text_that_is_not_ours_is_escaped(tmp_path):
    panel = studio(steps=2, prompt="red")
    panel.ui.start.click()
    folder = ended(panel).folder
    description = read(folder / "result.png")
    description["settings"] |= {"prompt": EVIL, "init_image": "/etc/passwd", "lr": 0.25}
    description["timeline"] = [{"step": 1, "settings": {"lr": 0.5}}]
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("vqclip", json.dumps(description))
    upload(panel.ui.load, png(pnginfo=info))
    assert panel.ui.form.value("prompt") == EVIL
    assert panel.ui.form.value("lr") == 0.5
    assert panel.ui.images.init_image is None, "no path of a stranger is opened"
    assert "/etc/passwd" in panel.ui.messages.text.value
    settings = folder / "settings.json"
    settings.write_text(settings.read_text().replace('"red"', json.dumps(EVIL)))
    broken = tmp_path / "runs" / EVIL.replace("/", "")
    broken.mkdir()
    (broken / "settings.json").write_text("{")
    panel.controller.library.read_history()
    panel.controller.fail(ValueError(EVIL))
    panel.ui.messages.note(EVIL)
    panel.ui.view.show(JobStatus(message=EVIL, losses={EVIL: ((1, 0.0), (2, 1.0))}))
    panel.ui.downloads.show(RunInfo.read(folder))
    seen = tags(panel)
    assert not [tag for tag, attributes in seen if tag in ("img", "script") or "onerror" in attributes]
    assert sum(markup.escape(EVIL)[:20] in w.value for w in children(panel) if isinstance(w, widgets.HTML)) >= 4
    upload(panel.ui.load, b"<html>")
    assert "that file cannot be read as a picture" in panel.ui.messages.text.value


def test_what_fails_is_one_sentence_and_the_panel_stays_usable(monkeypatch):
    panel = studio(prompt="  ")
    panel.ui.start.click()
    assert "Prompt must say what to paint" in panel.ui.messages.text.value
    assert REGISTRY.job is None
    from vqclip_nb import session

    def full(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    panel.ui.form.prompt.text.value = "red"
    panel.ui.form.controls["size"].value = (256, 256)
    with monkeypatch.context() as patch:
        patch.setattr(session, "build_painting", lambda *a, **k: full())
        panel.ui.start.click()
        ended(panel, "failed")
    assert "The memory is not enough" in panel.ui.messages.text.value
    assert "Traceback" in panel.ui.messages.text.value, "in the fold"
    assert panel.ui.messages.remedy.description == "Paint with Size 192 x 192", "also before the run has begun"
    with monkeypatch.context() as patch:
        patch.setattr("vqclip_nb.painting.Painting.step", full)
        panel.ui.start.click()
        ended(panel, "failed")
    assert panel.ui.messages.remedy.description == "Paint with Size 192 x 192"
    panel.ui.form.controls["steps"].value = 10
    panel.ui.messages.remedy.click()
    assert ended(panel).settings.size == (192, 192)
    assert panel.ui.messages.text.value == markup.messages([])


def test_a_shape_changes_sides_in_one_message_so_that_a_quick_choice_of_a_side_stays():
    size, messages = SizeControl(value=(192, 192)), []
    size.side._send = lambda message, buffers=None: messages.append(message["state"])
    size.shape.value = "banner 2:1"
    assert size.value == (192, 96)
    assert [sorted(state) for state in messages] == [["_options_labels", "index"]]


def test_sizes_are_marked_as_soon_as_it_is_known_what_fits_the_gpu(monkeypatch):
    monkeypatch.setattr(previews, "gpu_memory", lambda device: (2**30, 16 * 2**30))
    monkeypatch.setattr("vqclip_nb.painting.Painting.peak", lambda self: 2**20)  # for 16 x 16
    panel = studio(steps=2)
    panel.ui.start.click()
    ended(panel)
    labels = {value: text for text, value in panel.ui.form.controls["size"].side.options}
    assert labels[512] == "512 x 512 - fits"
    assert labels[2048] == "2048 x 2048 - more than the GPU holds"


def test_the_large_models_are_offered_stay_on_offer_and_are_chosen_once_they_are_there(monkeypatch, tmp_path):
    fetched = []
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(library.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(opening, "fetch_models", lambda settings, tell: fetched.append(settings.perceptor))
    panel = studio()
    assert "Get the large models (1.3 GB" in panel.ui.messages.offered
    panel.ui.messages.decline.click()
    assert panel.ui.messages.offered == ""
    assert (panel.ui.large.layout.display, panel.ui.large.description) == ("", "Get the large models (1.3 GB)")
    panel.ui.large.click()
    until(lambda: "chosen" in panel.ui.messages.text.value and not panel.ui.large.disabled)
    assert fetched == ["ViT-B/32"]
    assert (panel.ui.form.value("canvas"), panel.ui.form.value("size")) == ("vqgan/imagenet_f16_16384", (384, 384))
    assert panel.ui.large.layout.display == "none", "they are chosen"
    pairs = [text for text, value in panel.ui.form.controls["perceptor"].options if "+" in value]
    assert pairs == ["ViT-B/32 and ViT-B/16 - 0.7 GB to download, licence MIT (OpenAI)"]


def test_a_wrong_change_in_flight_is_said_and_the_run_goes_on():
    panel = studio(steps=4000)
    panel.ui.start.click()
    painting(panel, 3)
    panel.ui.form.prompt.text.value = '"red'  # a quote that nothing closes
    assert "Prompt" in panel.ui.messages.text.value
    assert REGISTRY.job.alive
    step = REGISTRY.job.status.step
    painting(panel, step + 3)
    panel.ui.form.prompt.text.value = "blue"
    until(lambda: REGISTRY.job.status.settings.prompt == "blue")
    panel.controller.tick()
    assert panel.ui.messages.text.value == markup.messages([])


def test_warnings_of_the_run_are_notes_and_others_go_where_they_went(recwarn):
    def open(tell):
        warnings.warn("look here", PaintWarning, stacklevel=1)
        warnings.warn("not for the panel", UserWarning, stacklevel=1)
        raise ValueError("enough")

    started = job.Job(open).start()
    assert started.wait(20)
    assert started.status.notes == ("Look here",)
    assert [str(warning.message) for warning in recwarn] == ["not for the panel"]


def test_running_the_cell_again_finds_the_run_and_one_that_was_cut_off_is_offered(tmp_path):
    panel = studio(steps=4000)
    panel.ui.start.click()
    painting(panel, 3)
    again = studio()
    assert again.ui.start.disabled
    assert not again.ui.stop.disabled
    until(lambda: again.ui.view.bar.value > 2)
    again.ui.stop.click()
    folder = ended(again, "stopped").folder
    (folder / "result.png").unlink()
    REGISTRY.job = None
    third = studio()
    assert "was cut off after step" in third.ui.messages.offered
    third.ui.messages.accept.click()
    assert painting(third).status.folder.name == folder.name
    third.ui.stop.click()
    ended(third, "stopped")


def test_the_newer_of_two_panels_has_taken_over():
    older, newer = studio(), studio()
    acting = (
        older.ui.start,
        older.ui.pause,
        older.ui.stop,
        older.ui.undo,
        older.ui.more,
        older.ui.messages.remedy,
        older.ui.messages.accept,
    )
    assert all(button.disabled for button in acting)
    assert older.ui.messages.text.value == markup.messages([("trouble", controller.TAKEN_OVER, "")])
    older.ui.start.click()
    assert older.ui.messages.text.value.count(controller.TAKEN_OVER) == 4, "with details"
    with pytest.raises(RunError, match="A newer panel has taken over"):
        older.controller.run(lambda tell: None)
    assert REGISTRY.job is None
    newer.ui.start.click()
    painting(newer)
    older.ui.form.prompt.text.value = "blue"
    assert ended(newer).settings.prompt == "red"
    older.controller.tick()
    assert older.ui.start.disabled


def test_the_folder_and_the_settings_are_those_that_were_asked_for():
    run_settings = Settings(**SMALL | {"steps": 2}, out="mine")
    shown = Studio(settings=run_settings)
    assert (shown.controller.out, shown.ui.form.value("out")) == (Path("mine").absolute(), "mine")
    shown = Studio(settings=run_settings, out="ours")
    shown.controller.looking.join(20)
    shown.ui.start.click()
    assert ended(shown).folder.parent == Path("ours").absolute()
    assert "1 run in ours" in shown.ui.history.count.value
    shown.ui.form.controls["out"].value = "mine"
    assert "No runs yet in mine" in shown.ui.history.count.value
    shown.ui.start.click()
    assert ended(shown).folder.parent == Path("mine").absolute()
    assert "1 run in mine" in shown.ui.history.count.value

    Path("start.png").write_bytes(png())
    panel = Studio(settings=run_settings.replace(prompt="blue", steps=4000, lr=0.123456789, init_image="start.png"))
    shown = (panel.ui.form.value("prompt"), panel.ui.form.value("lr"), panel.controller.out)
    assert shown == ("blue", 0.123456789, Path("mine").absolute())
    assert len(panel.ui.images.shown.children) == 1
    assert Studio().ui.form.value("prompt") == "red", "the last run's"
    panel = Studio(settings=run_settings.replace(steps=4000))
    panel.ui.start.click()
    painting(panel)
    assert Studio(settings=run_settings.replace(prompt="blue")).ui.form.value("prompt") == "red", (
        "the run's that is going on"
    )


def test_while_an_earlier_run_is_shown_nothing_happens_to_the_last_one():
    panel = studio(steps=3, save_every="1")
    for prompt in ("red", "blue"):
        panel.ui.form.load({"prompt": prompt})
        panel.ui.start.click()
        last = ended(panel)
    assert not panel.ui.undo.disabled
    assert seen(panel.ui.more) == [True]
    next(thumb for thumb in panel.ui.history.thumbs.children if "-red" in thumb.run_name).children[1].click()
    assert panel.ui.undo.disabled
    assert seen(panel.ui.more) == [False]
    panel.ui.undo.click()
    assert REGISTRY.job.status is last
    assert RunInfo.read(last.folder).saved_steps[-1] == 3


def test_a_film_that_was_made_is_made_anew_once_the_run_has_gone_on():
    panel = studio(steps=5)
    panel.ui.start.click()
    film = ended(panel).folder / "progress.gif"
    for _ in range(2):
        panel.ui.downloads.buttons["GIF"].click()
        until(lambda: "progress.gif" in panel.ui.downloads.links["GIF"].value)
        made = film.read_bytes()
        panel.ui.more.click()
        assert ended(panel).folder == film.parent
        assert not film.exists()
        assert "progress.gif" not in panel.ui.downloads.links["GIF"].value
    assert int(made) >= 15


def test_a_large_file_is_linked_to_where_the_notebooks_server_hands_it_out(monkeypatch, tmp_path):
    from jupyter_core.paths import jupyter_runtime_dir

    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "7")
    assert jupyter_runtime_dir() == str(tmp_path)
    path = tmp_path / "my notes" / "run.zip"
    assert frontend.address(path) is None, "no server is known"
    payload = {"base_url": "/user/me/", "root_dir": str(tmp_path)}
    (tmp_path / "jpserver-7.json").write_text(json.dumps(payload))
    assert frontend.address(path) == "/user/me/files/my%20notes/run.zip?download=1"
    monkeypatch.chdir(tmp_path)
    assert frontend.address(Path("run.zip")) == "/user/me/files/run.zip?download=1"
    assert frontend.address(tmp_path.parent / "run.zip") is None, "not below its root"
    (tmp_path / "jpserver-7.json").rename(tmp_path / "nbserver-7.json")
    (tmp_path / "nbserver-7.json").write_text(json.dumps({"base_url": "/", "notebook_dir": str(tmp_path)}))
    assert frontend.address(path) == "/files/my%20notes/run.zip?download=1"
    colab.stand_in(monkeypatch)
    assert frontend.address(path) is None


def test_earlier_runs_give_their_settings_and_go_on():
    with_folder = start(Settings(prompt="green", size=(16, 16), steps=9, cutn=2, device="cpu", save_every="2", lr=0.3))
    for frame in with_folder:
        if frame.step == 4:
            break
    with_folder.record.finish(with_folder.painting)
    panel = studio()
    (thumb,) = panel.ui.history.thumbs.children
    thumb.children[1].click()
    assert panel.ui.form.value("prompt") == "red", "looking changes nothing"
    panel.ui.history.use.click()
    assert (panel.ui.form.value("prompt"), panel.ui.form.value("lr")) == ("green", 0.3)
    assert panel.ui.view.looking.layout.display == "", "its frames can be looked back at"
    assert "An earlier run" in panel.ui.view.status.value
    assert markup.link(with_folder.record.folder / "result.png", "")[:400] in panel.ui.downloads.links["Picture"].value
    panel.ui.history.go_on.click()
    assert ended(panel).step == 9


def test_runs_are_mirrored_and_a_full_drive_is_said_once(tmp_path):
    drive, message = tmp_path / "drive", []
    panel = Studio(
        out="runs", mirror=drive, settings=Settings(prompt="red", size=(16, 16), steps=6, cutn=2, device="cpu")
    )
    panel.controller.looking.join(20)
    panel.ui.start.click()
    folder = ended(panel).folder
    panel.controller.mirror.wait(20)
    names = lambda place: {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}  # noqa: E731
    assert names(drive / folder.name) == names(folder)
    max((folder / "frames").iterdir()).unlink()  # as an Undo does
    panel.controller.mirror.copy(folder)
    panel.controller.mirror.wait(20)
    assert names(drive / folder.name) == names(folder)
    shutil.rmtree(folder)
    panel.controller.library.read_history()
    panel.ui.history.thumbs.children[0].children[-1].click()
    panel.ui.view.back.value = 1
    panel.ui.view.again.click()
    child = ended(panel).folder
    assert (child.parent.name, RunInfo.read(child).parent) == ("runs", (folder.name, 2)), "the drive is for copies"
    folder = child
    (tmp_path / "file").write_text("in the way")
    mirror = backup.Mirror(tmp_path / "file", message.append)
    for _ in range(2):
        mirror.copy(folder)
        mirror.wait(20)
    assert len(message) == 1
    assert "could not be written" in message[0]


def test_a_copy_outlives_what_it_is_of(tmp_path, monkeypatch):
    panel = studio(steps=6, save_every="2")
    panel.ui.start.click()
    run = ended(panel).folder
    names = lambda place: sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())  # noqa: E731
    whole, drive = names(run), tmp_path / "drive"
    mirror, gate, copied = backup.Mirror(drive), threading.Event(), backup.copy_over
    other = shutil.copytree(run, run.parent / "other")
    monkeypatch.setattr(backup, "copy_over", lambda *folders: (gate.wait(20), copied(*folders)))
    for folder in (run, other, run):
        mirror.copy(folder)
    gate.set()
    assert mirror.wait(20)
    assert names(drive / run.name) == names(drive / "other") == whole

    shutil.rmtree(other / "state")  # made again in a hurry, as a drive that came back has it
    shutil.rmtree(run)
    for folder in (other, run):
        mirror.copy(folder)
    assert not mirror.wait(20), "one of them is gone"
    assert names(drive / run.name) == names(drive / "other") == whole

    def breaks_off(source, target, **options):
        if next(left, None) is None:
            raise OSError(107, "Transport endpoint is not connected")
        return copy(source, target, **options)

    copy, left = shutil.copy2, iter(range(5))
    with monkeypatch.context() as torn:
        torn.setattr(shutil, "copy2", breaks_off)
        with pytest.raises(RunError, match=r"could not be copied back from .*drive.*; try again"):
            backup.bring_back(drive / run.name, run)
    assert not run.exists()
    backup.bring_back(drive / run.name, run)
    assert names(run) == whole


def test_every_control_says_what_it_is():
    panel = studio()
    controls = [w for w in children(panel) if isinstance(w, widgets.DOMWidget) and hasattr(w, "description")]
    silent = [
        w for w in controls
        if not any(getattr(w, message, "") for message in ("description", "tooltip", TOOLTIP))
        and not isinstance(w, widgets.HTML | widgets.ToggleButtons | widgets.IntProgress)
    ]  # fmt: skip
    assert not silent
    for name, control in panel.ui.form.controls.items():
        control = control.text if name == "prompt" or name in SPANS else control
        message = getattr(control, TOOLTIP) if name != "size" else getattr(control.shape, TOOLTIP)
        assert message.startswith(by_name(name).help), name


def test_in_colab_files_are_handed_over_and_the_cell_serves_until_its_stop_button(monkeypatch):
    asked = colab.stand_in(monkeypatch)
    panel = studio(steps=4000)
    panel.controller.mirror = backup.Mirror("drive")
    panel.ui.disconnect.value = True
    monkeypatch.setattr(frontend, "_kernel", lambda: None)

    async def cell():
        task = asyncio.ensure_future(panel.serve())
        await asyncio.sleep(0)  # it has begun
        panel.ui.start.click()
        while not (REGISTRY.job and REGISTRY.job.status.step > 3):
            await asyncio.sleep(0.02)
        task.cancel()
        await task

    asyncio.run(asyncio.wait_for(cell(), 20))
    folder = ended(panel, "stopped").folder
    panel.ui.downloads.buttons["Picture"].click()
    assert asked == [("download", str(folder / "result.png"))]
    panel.ui.form.controls["steps"].value = 5
    panel.ui.start.click()
    ended(panel)
    until(lambda: asked[-1] == ("unassign",))
    assert asked[1:] == [("flush",), ("unassign",)], "and no custom widget manager, which breaks folds in Colab"


def test_a_click_is_heard_in_a_cell_that_serves_as_colabs_kernel_has_it():
    """ipykernel 6 queues what comes while a cell runs; the queue is worked off, and the cell stays the parent."""

    class Kernel:
        _parent_ident = {"shell": [b"cell"], "control": [b""]}  # noqa: RUF012
        parent = {"cell": 1}  # noqa: RUF012

        def __init__(self, clicks):
            self.msg_queue = queue.Queue()
            for click in clicks:
                self.msg_queue.put(click)

        def get_parent(self, channel):
            return self.parent

        async def do_one_iteration(self):
            self.parent = {"click": 1}
            self.msg_queue.get()()

        def set_parent(self, ident, parent):
            assert ident == [b"cell"]
            self.parent = parent

    messages = []
    kernel = Kernel([lambda: messages.append("Start"), lambda: messages.append("Stop")])
    asyncio.run(frontend._let_clicks_in(kernel))
    assert messages == ["Start", "Stop"]
    assert kernel.parent == {"cell": 1}


def test_serve_returns_at_once_elsewhere():

    asyncio.run(asyncio.wait_for(studio().serve(), 1))


def test_stop_is_heard_within_a_step_and_two_hundred_milliseconds(monkeypatch):
    from vqclip_nb.painting import Painting

    whole = Painting.step
    monkeypatch.setattr(Painting, "step", lambda self, **k: (time.sleep(0.3), whole(self, **k))[1])
    panel = studio(steps=4000)
    panel.ui.start.click()
    painting(panel, 1)
    start = time.monotonic()
    panel.ui.stop.click()
    assert time.monotonic() - start < 0.1
    until(lambda: REGISTRY.job.status.state != "painting")
    assert time.monotonic() - start < 0.3 + 0.2 + 0.3, "the step that was being made, and a little"


def test_a_preview_takes_less_than_a_hundred_kilobytes_even_of_noise():
    noise = Image.effect_noise((1024, 1024), 200).convert("RGB")
    data = previews.jpeg(noise, previews.PREVIEW_SIDE)
    assert 20_000 < len(data) < 100_000
    assert Image.open(io.BytesIO(data)).size == (512, 512)


def test_showing_a_run_costs_it_under_three_hundredths_of_its_speed(monkeypatch):
    """Of the processor's time: what the panel takes, and what the job takes for its sake. The picture is 512 wide."""
    spent = []

    def timed(owner, name):
        whole = getattr(owner, name)

        def run(*inputs, **more):
            start = time.thread_time()
            try:
                return whole(*inputs, **more)
            finally:
                spent.append((name, time.thread_time() - start))

        monkeypatch.setattr(owner, name, run)

    timed(controller.Controller, "tick")
    timed(job.Job, "_show")
    timed(job.Job, "_read_losses")
    panel = studio(steps=100_000, size=(512, 512))
    panel.ui.start.click()
    painting(panel, 1)
    spent.clear()
    start, seconds = time.monotonic(), 6
    time.sleep(seconds)
    took, ticks = sum(cost for _, cost in spent), [name for name, _ in spent].count("tick")
    elapsed = time.monotonic() - start
    assert 3 <= ticks <= elapsed / job.BEAT + 2, "twice a second, however quick the steps"
    assert took < 0.03 * elapsed, f"{100 * took / elapsed:.1f} %"


def grown(seconds):
    """The bytes by which the process grew in the second half of so long a painting in the panel, and its steps."""

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    panel = studio(steps=100_000)
    panel.ui.form.controls["every"].value = 1000
    panel.ui.start.click()
    time.sleep(seconds / 2)
    half = resident()
    time.sleep(seconds / 2)
    whole, step = resident(), REGISTRY.job.status.step
    panel.ui.stop.click()
    ended(panel, "stopped")
    return whole - half, step


@pytest.mark.long
@pytest.mark.parametrize(("seconds", "most"), [(300, 2.5), (3600, 25)])  # MB in the second half
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_painting_does_not_grow(seconds, most, monkeypatch):
    from vqclip_nb.painting import Painting

    whole, rest = Painting.step, seconds / 90_000  # a run has 100,000 steps at most, and this one must not end
    monkeypatch.setattr(Painting, "step", lambda self, **k: (time.sleep(rest), whole(self, **k))[1])
    more, steps = grown(seconds)
    assert steps > 10 * seconds
    assert more < most * 2**20, f"{more / 2**20:.2f} MB more in {steps / 2:.0f} steps"


def test_threads_end_with_the_run():
    before = set(threading.enumerate())
    panel = studio(steps=5)
    panel.ui.start.click()
    ended(panel)
    until(lambda: not {thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()})


def test_a_picture_that_is_loaded_takes_the_place_of_the_run_that_was_shown():
    panel = studio(steps=3)
    for prompt in ("red", "green"):
        panel.ui.form.load({"prompt": prompt})
        panel.ui.start.click()
        last = ended(panel)
    next(thumb for thumb in panel.ui.history.thumbs.children if "-red" in thumb.run_name).children[1].click()
    assert "red" in panel.ui.view.caption.value
    upload(panel.ui.load, (last.folder / "result.png").read_bytes())
    assert panel.ui.form.value("prompt") == "green"
    assert "A picture from a file: green" in panel.ui.view.caption.value
    hidden = (panel.ui.downloads.box, panel.ui.view.looking, panel.ui.more, panel.ui.history.use)
    assert not any(seen(*hidden)), "nothing of the other run is offered"
    assert panel.ui.undo.disabled
    panel.ui.start.click()
    assert ended(panel).folder != last.folder
    assert "This run: green" in panel.ui.view.caption.value
    assert all(seen(panel.ui.downloads.box, panel.ui.view.looking, panel.ui.more))


def test_while_memory_runs_out_there_is_one_note_and_stop_is_heard_between_two_attempts(monkeypatch):
    tries, go_on = [], threading.Event()

    def step(self, **_):
        for parts in range(1, 1000):
            tries.append(parts)
            warnings.warn(
                f"memory ran out at step 1: the cutouts are processed in {parts} parts", PaintWarning, stacklevel=1
            )
            go_on.wait(20 if parts > 2 else 0)

    monkeypatch.setattr("vqclip_nb.painting.Painting.step", step)
    panel = studio(steps=5)
    panel.ui.start.click()
    until(lambda: len(tries) > 2)
    panel.controller.tick()
    assert "Memory ran out at step 1: the cutouts are processed in" in panel.ui.view.status.value, "not: Making step 1"
    assert panel.ui.messages.text.value.count("Memory ran out") == 3, "one line: its tooltip, itself, and its fold"
    panel.ui.stop.click()
    go_on.set()
    status = ended(panel, "stopped")
    assert len(tries) <= 4
    assert "Stopped before the first step" in panel.ui.view.status.value
    assert not any(seen(*(panel.ui.downloads.buttons[name] for name in ("Picture", "Film", "GIF", "WebP"))))
    assert panel.ui.undo.disabled
    assert not seen(panel.ui.more)[0]
    check_unlocked(status.folder)
    panel.ui.start.click()
    assert panel.ui.messages.run_notes == (), "they go with their run"


def test_a_run_that_fails_is_shown_as_such_without_the_picture_of_the_one_before(monkeypatch):
    panel = studio(steps=3)
    panel.ui.start.click()
    ended(panel)

    def full(*_, **__):
        raise OutOfMemory("memory ran out at step 1 with all savings made; paint smaller than --size 16 16")

    monkeypatch.setattr("vqclip_nb.painting.Painting.step", full)
    panel.ui.form.load({"prompt": "blue"})
    panel.ui.start.click()
    ended(panel, "failed")
    assert "blue" in panel.ui.view.caption.value
    assert "failed before its first picture" in panel.ui.view.empty.value
    assert seen(panel.ui.view.picture, panel.ui.view.empty) == [False, True]
    assert "--size" not in panel.ui.messages.text.value.partition("<pre>")[0], (
        "the form's words, not the command line's"
    )
    assert not any(seen(panel.ui.more, panel.ui.downloads.links["Picture"]))


@pytest.mark.parametrize("place", ["vqclip_nb.session.build_painting", "vqclip_nb.painting.Painting.step"])
def test_stop_is_heard_between_two_layers_until_the_first_step_is_made(place, monkeypatch):
    layer, made, begun = torch.nn.Identity(), [], threading.Event()

    def slow(*_, **__):
        begun.set()
        for number in range(1000):
            layer(torch.zeros(1))
            made.append(number)
            time.sleep(0.02)

    monkeypatch.setattr(place, slow)
    panel = studio(steps=5)
    panel.ui.start.click()
    assert begun.wait(60)
    panel.ui.stop.click()
    ended(panel, "stopped")
    assert len(made) < 900, "it was broken off"
    assert "Stopped before the first step" in panel.ui.view.status.value
    assert "stopped before its first picture" in panel.ui.view.empty.value
    assert not torch.nn.modules.module._global_forward_pre_hooks, "nothing is left behind"


def test_a_run_for_which_memory_runs_out_while_it_opens_is_shown_with_its_remedy(monkeypatch):
    panel = studio(steps=3)
    panel.ui.start.click()
    ended(panel)

    def full(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("vqclip_nb.session.build_painting", full)
    panel.ui.form.load({"prompt": "blue", "size": (64, 64)})
    panel.ui.start.click()
    ended(panel, "failed")
    assert "<p>The memory is not enough for 64 x 64 pixels: paint smaller" in panel.ui.messages.text.value
    assert "Memory ran out" in panel.ui.view.status.value
    assert "This run: blue" in panel.ui.view.caption.value
    assert seen(panel.ui.view.picture, panel.ui.view.empty) == [False, True]
    assert not any(seen(panel.ui.more, panel.ui.downloads.box, panel.ui.view.looking))
    assert panel.ui.undo.disabled
    assert panel.ui.messages.remedy.description == "Paint with Size 48 x 48"
    panel.ui.view.begin()
    assert "failed" not in panel.ui.view.empty.value, "the next run has not failed"


def test_the_strip_shows_the_newest_news_of_the_run_and_keeps_tracebacks_last():
    panel = studio()
    strip = panel.ui.messages
    strip.show_run_notes(["The demo does not know: xylem", "Memory ran out at step 1"])
    assert ">Memory ran out at step 1" in strip.text.value.partition("</summary>")[0]
    strip.show_problem(Problem("It failed", "Traceback"))
    assert strip.text.value.index("xylem") < strip.text.value.index("Technical details")
    strip.dismiss.click()
    assert strip.text.value == markup.messages([])


def test_each_of_several_pictures_is_saved_reused_and_gone_on_with():
    panel = studio(variations=3, steps=3, seed=7)
    panel.ui.start.click()
    folder = ended(panel).folder
    links = panel.ui.downloads.links
    assert 'download="result.png"' in links["Sheet"].value
    for number in (1, 2, 3):
        panel.ui.view.select(number - 1)
        assert markup.link(folder / f"result-{number}.png", "")[:300] in links["Picture"].value
    panel.ui.use.click()
    assert (panel.ui.form.value("seed"), panel.ui.form.value("variations")) == (9, 1)
    assert panel.ui.view.selected == 2
    panel.ui.alone.click()
    until(lambda: REGISTRY.job.status.folder != folder)
    assert ended(panel).settings.seed == 9


def test_negative_words_have_a_box_of_their_own():
    assert combine("a castle\n", "fog | text") == "a castle | fog:-1 | text:-1"
    assert combine("a castle", "fog:0.5") == "a castle | fog:-0.5"
    for prompt in ("a castle | fog:-1 | text:-1", "a | fog:-1 | b", "a:2 | -1", '"x | y:-1"', "fog:-1", "a | fog:-0.5"):
        assert combine(*split(prompt)) == prompt
    assert split("a castle | fog:-1") == ("a castle", "fog")
    panel = studio(prompt="red | green:-1", steps=2)
    assert (panel.ui.form.prompt.text.value, panel.ui.form.prompt.negative.value) == ("red", "green")
    panel.ui.form.prompt.negative.value = "blue"
    panel.ui.start.click()
    assert ended(panel).settings.prompt == "red | blue:-1"


def test_chips_see_weighted_words():
    assert has("a castle | a mosaic:0.5", "a mosaic")
    assert toggle("a castle | a mosaic:0.5 | fog:-1", "a mosaic") == "a castle | fog:-1"
    assert toggle("a castle, a mosaic:0.5", "a mosaic") == "a castle:0.5"
    assert not has("a castle | a mosaics:0.5", "a mosaic")


def test_a_field_that_is_wrong_stays_marked_until_it_is_put_right():
    panel = studio()
    panel.ui.form.controls["lr"].value = "banana"
    error = panel.ui.form._errors["", "lr"]
    assert "Step size must be" in error.value
    panel.ui.form.prompt.chips.children[0].click()
    assert "Step size must be" in panel.ui.messages.text.value
    assert seen(error) == [True]
    panel.ui.form.controls["lr"].value = "0.2"
    assert (error.value, panel.ui.messages.text.value) == ("", markup.messages([]))


def test_the_chart_has_one_axis_the_step_under_the_pointer_and_no_former_prompts():
    drawn = chart({"new": ((1, 0.5), (50, 0.2), (100, 0.1)), "old": ((1, 1.0), (40, 0.9))})
    assert "old" not in drawn
    assert ">Step</text>" in drawn
    assert ">Loss</text>" in drawn
    assert "step 100<tspan" in drawn
    lines = re.findall(r'points="([^"]*)"', drawn)
    tops = [float(line.split(" ")[0].split(",")[1]) for line in lines]
    assert tops[1] < tops[0], "1.0 stands above 0.5"
    assert chart({}) == chart({"a": ((1, 0.3),)}) == ""


def test_a_film_that_cannot_be_made_says_so_and_nothing_else(monkeypatch):
    panel = studio(steps=3)
    panel.ui.start.click()
    ended(panel)

    def fails(*_, **__):
        raise RunError("the film could not be made: no encoder")

    monkeypatch.setattr(video, "film", fails)
    panel.ui.downloads.buttons["GIF"].click()
    until(lambda: "no encoder" in panel.ui.messages.text.value)
    assert "Making" not in panel.ui.messages.text.value
    assert "The film could not be made: no encoder" in panel.ui.downloads.said.value, "also where was clicked"
    until(lambda: not panel.ui.downloads.buttons["GIF"].disabled)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile, "ZipFile", full)
    panel.ui.downloads.buttons["All"].click()
    until(lambda: "<p>run.zip could not be written: No space left on device</p>" in panel.ui.messages.text.value)
    assert "Making" not in panel.ui.messages.text.value


def test_runs_are_searched_deleted_and_shown_without_a_picture():
    panel = studio(steps=2)
    for prompt in ("red", "green", "blue", "white"):
        panel.ui.form.load({"prompt": prompt})
        panel.ui.start.click()
        folder = ended(panel).folder
    (folder / "result.png").unlink()
    shutil.rmtree(folder / "frames")
    panel.controller.library.read_history()
    assert len(panel.ui.history.thumbs.children) == 4
    assert "no picture" in panel.ui.history.thumbs.children[0].children[0].value
    panel.ui.history.search.value = "xylem"
    assert "No run has these words" in panel.ui.history.none_found.value
    panel.ui.history.search.value = "white"
    assert panel.ui.history.none_found.value == ""
    (thumb,) = panel.ui.history.thumbs.children
    thumb.children[1].click()
    assert "has kept no picture" in panel.ui.view.empty.value
    panel.ui.history.delete.click()
    assert folder.exists(), "asked first"
    panel.ui.history.keep.click()
    assert seen(panel.ui.history.delete, panel.ui.history.sure, panel.ui.history.keep) == [True, False, False]
    panel.ui.history.delete.click()
    panel.ui.history.sure.click()
    assert not folder.exists()
    assert not panel.ui.history.thumbs.children
    panel.ui.history.search.value = ""
    assert len(panel.ui.history.thumbs.children) == 3


def test_own_presets_are_kept_and_the_form_outlives_the_kernel(monkeypatch, tmp_path):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    panel = studio(steps=2, cutn=3, prompt="green", seed=11)
    panel.ui.preset_name.value = "../evil"
    panel.ui.save.click()
    assert "name" in panel.ui.messages.text.value
    panel.ui.preset_name.value = "My own"
    panel.ui.save.click()
    panel.ui.form.load({"cutn": 16, "steps": 50})
    panel.ui.presets.value = "My own"
    assert (panel.ui.form.value("cutn"), panel.ui.form.value("steps"), panel.ui.form.value("seed")) == (3, 2, 11)
    panel.ui.start.click()
    ended(panel)
    REGISTRY.job = REGISTRY.controller = None
    again = Studio(out="runs")
    assert (again.ui.form.value("prompt"), again.ui.form.value("cutn"), again.ui.form.value("seed")) == ("green", 3, 11)


def test_the_options_of_the_chosen_canvas_alone_are_shown_and_painted_with():
    panel = studio(steps=2)
    rows = panel.ui.form._rows
    assert seen(rows["vqgan", "tidy"]) == [True]
    panel.ui.form.controls["tidy"].value = "2"
    panel.ui.start.click()
    assert ended(panel).settings.canvas_options["tidy"] == 2
    panel.ui.form.controls["canvas"].value = "pixels"
    assert seen(rows["vqgan", "tidy"]) == [False]
    panel.ui.start.click()
    assert ended(panel).settings.canvas == "pixels"


def test_going_back_begins_at_a_state_on_the_way_shows_the_way_and_hears_stop(monkeypatch):
    panel = studio(steps=60, save_every="5")
    panel.ui.start.click()
    parent = ended(panel).folder
    saved = RunInfo.read(parent).saved_steps
    assert saved == [10, 20, 30, 40, 50, 55, 60]
    whole, gate, made = Painting.step, threading.Event(), []

    def step(self, **more):
        frame = whole(self, **more)
        made.append(frame.step)
        gate.wait(20)
        return frame

    monkeypatch.setattr(Painting, "step", step)
    panel.ui.view.back.value = 27
    assert panel.ui.view.step_looked_at == 28
    panel.ui.view.again.click()
    until(lambda: made == [21])
    gate.set()
    until(lambda: "Painting the way there again: step 2" in REGISTRY.job.status.message or not REGISTRY.job.alive)
    assert len(RunInfo.read(ended(panel, "done").folder).timeline) <= 1

    gate.clear()
    made.clear()
    panel.controller.library.read_history()
    panel.ui.history._pressed(parent.name)
    panel.ui.view.back.value = 27
    panel.ui.view.again.click()
    until(lambda: made == [21])
    panel.ui.stop.click()
    gate.set()
    ended(panel, "stopped")
    assert made == [21], "and no step more"
    assert "Stopped on the way to step 28" in panel.ui.view.status.value
