"""Several pictures from the panel: a list of prompts, a grid of two settings, and two runs side by side."""

import io
import shutil
import time

import pytest
from PIL import Image

from tests.toys import toy_models
from vqclip_nb import Settings, video
from vqclip_nb.runs.reader import RunInfo, read_all
from vqclip_nb.session import start
from vqclip_nb.studio import Studio
from vqclip_nb.studio.registry import REGISTRY
from vqclip_nb.studio.sweep import sweep
from vqclip_nb.studio.versus import differences
from vqclip_nb.sweeps.items import make_items

SMALL = {"prompt": "red", "size": (16, 16), "steps": 12, "cutn": 2, "device": "cpu"}


@pytest.fixture(autouse=True)
def toys(monkeypatch, tmp_path):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    for name in ("job", "series", "controller"):
        monkeypatch.setattr(REGISTRY, name, None)
    monkeypatch.chdir(tmp_path)
    with toy_models():
        yield
        if REGISTRY.controller:
            REGISTRY.controller.stop()
        assert REGISTRY.series is None or REGISTRY.series.wait(20)


def studio(**values):
    panel = Studio(out="runs", settings=Settings(**SMALL | values))
    panel.controller.looking.join(20)
    return panel


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def said(panel):
    problem = panel.ui.messages.problem
    return problem.message if problem else ""


def paint_list(panel, text):
    panel.ui.several.lines.value = text
    panel.ui.several.paint_list.click()


def test_a_list_of_prompts_is_painted_one_after_another(tmp_path):
    panel = studio()
    paint_list(panel, "red\n\n green \nred\nblue")
    assert panel.ui.start.disabled
    assert REGISTRY.series.wait(60)
    assert [item.settings.prompt for item in REGISTRY.series.items] == ["red", "green", "blue"]
    assert REGISTRY.series.states == ["painted"] * 3
    runs, _ = read_all(tmp_path / "runs")
    assert sorted(run.current.prompt for run in runs) == ["blue", "green", "red"]
    assert {run.settings.steps for run in runs} == {12}
    until(lambda: not panel.ui.start.disabled)
    assert "3 of 3 painted" in panel.ui.several.said.value
    assert len(panel.ui.several.grid.children) == 3
    assert Image.open(REGISTRY.series.sheet).width > 192
    assert "Contact sheet" in panel.ui.several.sheet.value
    until(lambda: len(panel.ui.history.runs) == 3)


def test_used_prompts_are_remembered_without_their_runs_and_can_be_searched(tmp_path):
    panel = studio()
    paint_list(panel, "red\ngreen")
    assert REGISTRY.series.wait(60)
    until(lambda: not panel.ui.start.disabled)
    paint_list(panel, "red")
    assert REGISTRY.series.wait(60)
    for folder in (tmp_path / "runs").glob("red*"):
        shutil.rmtree(folder)
    again = studio(prompt="blue")
    offered = again.ui.form.prompt.used
    assert list(offered.options) == ["red", "green"], "the newest first"
    offered.value = "gr"
    assert again.ui.form.value("prompt") == "blue", "not a whole one yet"
    offered.value = "green"
    assert (again.ui.form.value("prompt"), offered.value) == ("green", "")
    (tmp_path / "runs" / ".prompts.txt").write_bytes(b"\xff\n")
    again.controller.library.read_history()
    assert list(offered.options) == ["green"], "of the run that is left"


def test_the_prompt_book_adds_a_word_and_takes_it_out():
    panel = studio(prompt="red")
    box = panel.ui.form.prompt
    assert {label.partition(":")[0] for label, word in box.book.options if word} == {"Medium", "Light"}
    for prompt in ("red, at night", "red"):
        box.book.value = "at night"
        assert (box.value, box.book.value) == (prompt, "")
    box.suit("ViT-B/32")
    kinds = {label.partition(":")[0] for label, word in box.book.options if word}
    assert kinds == {"Site", "Quality", "Medium", "Artist", "Light", "Engine"}


def test_stop_ends_the_list_and_the_same_button_goes_on(tmp_path):
    panel = studio(steps=2000)
    paint_list(panel, "red\ngreen")
    until(lambda: REGISTRY.job and REGISTRY.job.status.step > 2)
    panel.ui.stop.click()
    assert REGISTRY.series.wait(20)
    assert REGISTRY.series.states == ["stopped", "waiting"]
    assert "stopped, and the same again goes on" in panel.ui.several.said.value
    step = REGISTRY.job.status.step
    panel.ui.several.paint_list.click()
    until(lambda: REGISTRY.job.status.step > step)
    assert REGISTRY.job.status.first_step == step, "not from the beginning"


def test_an_item_that_fails_is_named_and_the_others_are_painted(tmp_path):
    panel = studio()
    paint_list(panel, "ochre\nred")  # the toy does not know ochre
    assert REGISTRY.series.wait(60)
    assert REGISTRY.series.states == ["failed", "painted"]
    until(lambda: "1 failed" in panel.ui.several.said.value)
    panel.controller.several.open_cell(1)
    assert panel.controller.library.run.current.prompt == "red"
    panel.ui.several.grid.children[0].children[1].click()
    assert "It failed: " in said(panel)


def test_a_grid_paints_each_value_with_each_and_goes_on_with_one(tmp_path):
    panel = studio()
    view = panel.ui.several
    view.rows.values.value, view.columns.values.value = "0.05, 0.2", "3, 4, 5"
    view.paint_grid.click()
    assert REGISTRY.series.wait(60)
    settings = [item.settings for item in REGISTRY.series.items]
    assert [(each.lr, each.seed) for each in settings] == [(lr, s) for lr in (0.05, 0.2) for s in (3, 4, 5)]
    until(lambda: "6 of 6 painted" in view.said.value and not panel.ui.start.disabled)
    assert len(view.grid.children) == 12, "a head for each row and column, and a corner"
    assert "Seed 3" in view.grid.children[1].value
    assert "Step size 0.2" in view.grid.children[8].value
    cells = [cell for cell in view.grid.children if hasattr(cell, "children")]
    cells[4].children[1].click()
    assert panel.controller.library.run is not None
    chosen = RunInfo.read(REGISTRY.series.folder(view.chosen)).current
    view.use.click()
    assert [float(panel.ui.form.value(name)) for name in ("lr", "seed")] == [0.2, 4]
    cells[4].children[1].click()
    view.go_on.click()
    until(lambda: REGISTRY.job and REGISTRY.job.status.ended and REGISTRY.job.status.step == 24)
    assert REGISTRY.job.status.settings.lr == chosen.lr
    assert RunInfo.read(REGISTRY.job.status.folder).parent == (REGISTRY.series.folder(view.chosen).name, 12)


@pytest.mark.parametrize(
    ("rows", "columns", "sentence"),
    [
        (("lr", ""), ("seed", "1"), "Step size has no values to compare"),
        (("seed", "1"), ("seed", "2"), "Choose two different settings"),
        (("lr", "fast"), ("seed", "1"), "Step size must be a number"),
        (("cutn", "1, 2.5"), ("", ""), "Cutouts per step must be a whole number"),
    ],
)
def test_a_grid_that_cannot_be_is_one_sentence_and_paints_nothing(rows, columns, sentence):
    panel = studio()
    view = panel.ui.several
    for axis, (name, values) in ((view.rows, rows), (view.columns, columns)):
        axis.setting.value, axis.values.value = name, values
    view.paint_grid.click()
    assert sentence in said(panel)
    assert REGISTRY.series is None
    panel.ui.several.paint_list.click()
    assert "The list of prompts is empty" in said(panel)


def test_a_new_panel_finds_the_series(tmp_path):
    panel = studio(steps=2000)
    paint_list(panel, "red\ngreen")
    until(lambda: REGISTRY.job and REGISTRY.job.status.step > 2)
    again = Studio(out="runs")
    assert "0 of 2 painted" in again.ui.several.said.value
    assert again.ui.start.disabled
    again.ui.stop.click()
    assert REGISTRY.series.wait(20)
    until(lambda: not again.ui.start.disabled)


def test_write_more_adds_prompts_to_the_list(monkeypatch):
    requests = []

    def write(examples, count, **more):
        requests.append((list(examples), more["perceptor"]))
        return [f"a {n}" for n in range(count)]

    monkeypatch.setattr("vqclip_nb.prompt_writer.write_prompts", write)
    panel = studio()
    panel.ui.several.write_more.click()
    until(lambda: not panel.ui.several.write_more.disabled)
    assert panel.ui.several.lines.value.splitlines() == [f"a {n}" for n in range(6)]
    panel.ui.several.write_more.click()
    until(lambda: not panel.ui.several.write_more.disabled)
    assert len(panel.ui.several.lines.value.splitlines()) == 12
    assert requests == [(["red"], "demo"), ([f"a {n}" for n in range(6)], "demo")]


def finished(out, **values):
    active = start(Settings(**SMALL | {"steps": 2, "out": str(out), **values}))
    for _ in active:
        pass
    active.record.finish(active.painting)


def test_two_earlier_runs_are_shown_side_by_side_with_what_differs(tmp_path):
    finished(tmp_path / "runs", prompt="red")
    finished(tmp_path / "runs", prompt="blue", canvas="pixels", lr=0.3)
    panel = studio()
    history = panel.ui.history
    first, second = history.thumbs.children[:2]
    first.children[1].click()
    history.compare.click()
    assert panel.ui.versus.box.layout.display == "none"
    second.children[1].click()
    assert panel.ui.versus.box.layout.display == ""
    html = panel.ui.versus.html.value
    assert html.count("<img") == 2
    left, right = (next(run for run in history.runs if run.current.prompt == name) for name in ("blue", "red"))
    rows, same = differences(left, right)
    assert [row[0] for row in rows][:1] == ["Prompt"]
    assert {row[0]: row[1:] for row in rows}["Step size"] == ("0.3", "-")
    assert same > 10
    assert all(f"<td>{row[0]}</td>" in html for row in rows)
    panel.ui.versus.hide.click()
    assert panel.ui.versus.box.layout.display == "none"


def test_a_sweep_in_a_notebook_fills_a_grid_of_thumbnails(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    items = make_items([{"prompt": "red", "seed": seed} for seed in (1, 2, 3)], SMALL)
    counts = []
    for result in sweep(items, tmp_path / "out"):
        assert result.state == "painted"
        board, large, _ = shown[0].children
        counts.append(board.children[0].value.partition(" of 3 painted")[0][-1])
    assert counts == ["1", "2", "3"]
    cells = board.children[1].children
    assert [type(cell.children[0]).__name__ for cell in cells] == ["Image"] * 3
    cells[1].children[1].click()
    assert Image.open(io.BytesIO(large.value)).size == (16, 16)
    assert large.layout.display == ""
