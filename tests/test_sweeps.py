"""A sweep paints what its file names, once each, whatever happens on the way."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest
from PIL import Image

from tests.browsing import watch
from tests.toys import toy_models
from vqclip_nb import cli
from vqclip_nb.errors import NotANumber, PaintWarning, RunError, SettingsError
from vqclip_nb.models import catalog
from vqclip_nb.runs import background_writer, creation
from vqclip_nb.sweeps import paint as painting
from vqclip_nb.sweeps import read_items, results, sweep
from vqclip_nb.sweeps.items import EXAMPLE, make_items
from vqclip_nb.sweeps.judge import available_judge, score
from vqclip_nb.sweeps.report import contact_sheet, grid_axes, write_reports

SMALL = {"canvas": "pixels", "size": 32, "steps": 3, "cutn": 2, "device": "cpu", "perceptor": "toy"}


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr("vqclip_nb.video._encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    monkeypatch.setattr("vqclip_nb.runs.metadata.model_hashes", lambda settings: {})
    with toy_models():
        yield


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def pixels(folder):
    return {path.parent.name: Image.open(path).tobytes() for path in sorted(Path(folder).glob("*/result.png"))}


def test_the_example_is_read_and_crosses_prompts_with_seeds(tmp_path):
    items = read_items(written(tmp_path, "example.yaml", EXAMPLE))
    assert len(items) == 5
    assert [item.settings.seed for item in items[:4]] == [0, 1, 0, 1]
    assert items[4].settings.cutn == 8, "of the preset"
    assert items[4].settings.steps == 60
    assert len({item.name for item in items}) == 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "# colours\nred\n\nblue\n"),
        ("a.csv", "prompt,seed\nred,\nblue,\n"),
        ("a.json", json.dumps({"cross": {"prompt": ["red", "blue"]}})),
        ("a.yaml", "- {prompt: red}\n- {prompt: blue}\n"),
    ],
)
def test_every_form_of_file_names_the_same_items(tmp_path, name, text):
    items = read_items(written(tmp_path, name, text), common=SMALL)
    assert [item.name for item in items] == [
        item.name for item in make_items([{"prompt": "red"}, {"prompt": "blue"}], SMALL)
    ]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.yaml", "crossed: {seed: [0]}", "has no heading 'crossed'; did you mean 'cross'?"),
        ("a.yaml", "cross: {seed: []}", "seed under cross must be a list of values, got []"),
        ("a.yaml", "cross: {seed: [0, 1, 2], steps: [1, 2, 3, 4]}", "has 12 items, more than 10; `--limit 12`"),
        ("a.yaml", "items: [{prompt: red, stpes: 3}]", "item 1 of the sweep: there is no setting 'stpes'"),
        ("a.yaml", "items: [{prompt: red}, {prompt: red}]", "items 1 and 2 of the sweep are the same picture"),
        ("a.yaml", "a: [", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.txt", "\n# nothing\n", "has no items"),
        ("a.csv", "prompt\nred,blue\n", "a row has more cells than the first line names"),
        ("a.yaml", "items: [{prompt: red, preset: nope}]", "item 1 of the sweep: preset must be one of"),
    ],
)
def test_a_file_that_is_no_sweep_is_one_line(tmp_path, name, text, sentence):
    with pytest.raises(SettingsError) as error:
        read_items(written(tmp_path, name, text), limit=10)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_second_call_paints_only_what_is_missing_and_resumes_what_was_cut(tmp_path):
    items = make_items([{"prompt": "red", "seed": seed} for seed in range(3)], {**SMALL, "save_every": "1"})
    whole = [result.state for result in sweep(items, tmp_path / "whole")]
    assert whole == ["painted"] * 3

    steps = iter(range(100))
    cut = [result.state for result in sweep(items, tmp_path / "cut", stop=lambda: next(steps) > 5)]
    assert cut[-1] == "stopped"
    again = [result.state for result in sweep(items, tmp_path / "cut")]
    assert again == ["there", "painted", "painted"]
    assert pixels(tmp_path / "cut") == pixels(tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "cut" / "sweep.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == [*cut, *again]


def test_an_item_that_fails_is_tried_twice_and_the_others_go_on(tmp_path, monkeypatch):
    tried, start = [], painting.session.start

    def failing(settings, **more):
        tried.append(settings.prompt)
        if settings.prompt == "green":
            raise RunError("the disk\nis full")
        return start(settings, **more)

    monkeypatch.setattr(painting.session, "start", failing)
    items = make_items([{"prompt": colour} for colour in ("green", "red")], SMALL)
    results = list(sweep(items, tmp_path))
    assert [result.state for result in results] == ["failed", "painted"]
    assert results[0].error == "the disk is full"
    assert tried == ["green", "green", "red"]


def test_an_item_that_broke_in_mid_run_is_taken_up_at_the_second_try(tmp_path, monkeypatch):
    broken, start = [], painting.session.start

    def breaking(settings, **more):
        active = start(settings, **more)
        add = active.record.add

        def once(frame, painting):
            add(frame, painting)
            if frame.step == 2 and not broken:
                broken.append(frame.step)
                raise NotANumber("the loss is no number")

        monkeypatch.setattr(active.record, "add", once)
        return active

    monkeypatch.setattr(painting.session, "start", breaking)
    items = make_items([{"prompt": "red"}], {**SMALL, "save_every": "1"})
    (result,) = sweep(items, tmp_path / "broken")
    assert (result.state, broken) == ("painted", [2])
    list(sweep(items, tmp_path / "whole"))
    assert pixels(tmp_path / "broken") == pixels(tmp_path / "whole")


def test_a_disk_that_becomes_full_ends_the_sweep_in_one_line_and_the_same_command_goes_on(tmp_path, monkeypatch):
    disk = {"left": 10**9}

    def write(path, data, real=background_writer.write, **more):
        if out in path.parents:
            if len(data) > disk["left"]:
                raise OSError(28, "No space left on device")
            disk["left"] -= len(data)
        real(path, data, **more)

    for module in (background_writer, creation, results):
        monkeypatch.setattr(module, "write", write)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    out = tmp_path / "full"
    items = make_items([{"prompt": "red", "seed": seed} for seed in range(4)], SMALL)
    states = []

    def fill():
        for result in sweep(items, out):
            states.append(result.state)
            disk["left"] = 1500  # enough for the beginning of the next one

    with warnings.catch_warnings(action="ignore", category=PaintWarning), pytest.raises(RunError) as error:
        fill()
    assert states == ["painted", "failed"]
    assert "\n" not in str(error.value)
    assert repr(str(out)) in str(error.value)
    assert "free some space, and the same command continues" in str(error.value)
    assert not list(out.glob("*.part")) + list(out.glob(".probe*")), "nothing half-written"
    disk["left"] = 10**9
    assert [result.state for result in sweep(items, out)] == ["there", "painted", "painted", "painted"]
    list(sweep(items, tmp_path / "whole"))
    assert pixels(out) == pixels(tmp_path / "whole")


def test_an_item_that_stopped_early_is_there(tmp_path):
    items = make_items([{"prompt": "red"}], {**SMALL, "steps": 400, "early_stop": 3})
    for state in ("painted", "there"):
        (result,) = sweep(items, tmp_path)
        assert result.state == state
    assert not (result.folder / "frames" / "000400.jpg").exists(), "it did stop early"


def test_a_contact_sheet_has_rows_and_columns_where_two_settings_were_crossed(tmp_path):
    rows = [{"prompt": prompt, "seed": seed} for prompt in ("red", "blue") for seed in (0, 1, 2)]
    items = make_items(rows, SMALL)
    assert grid_axes(items) == ("prompt", "seed")
    results = list(sweep(items, tmp_path))
    sheet = contact_sheet(results)
    assert sheet.width > sheet.height, "three columns, two rows"
    assert grid_axes(items[:5]) is None
    assert contact_sheet(results[:5]).size != sheet.size


def test_a_perceptor_that_did_not_guide_scores_the_pictures(tmp_path, monkeypatch):
    items = make_items([{"prompt": "red"}, {"prompt": "red", "steps": 60, "lr": 0.2}], SMALL)
    few, many = sweep(items, tmp_path)
    scores = score([few, many], "other")
    assert scores[many.item.name] < scores[few.item.name], "nearer to red after more steps"
    with pytest.raises(SettingsError, match="did not guide, got 'toy'"):
        score([few], "toy")

    monkeypatch.setattr(catalog.Entry, "on_disk", property(lambda entry: entry.name in ("demo", "RN50", "ViT-B/32")))
    assert available_judge(items) == "RN50"
    assert available_judge(make_items([{"prompt": "red", "perceptor": "RN50"}])) == "ViT-B/32"
    assert available_judge(make_items([{"prompt": "red", "perceptor": "RN50+ViT-B/32"}])) is None, (
        "the demo knows few words"
    )


def test_the_command_paints_reports_and_says_what_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vqclip_nb.cli.sweep.prepare", lambda settings: None)  # no such model is to be fetched
    file = written(
        tmp_path, "a.yaml", json.dumps({"settings": SMALL, "cross": {"prompt": ["red", "blue"], "seed": [0, 1]}})
    )
    out = tmp_path / "out"
    assert cli.main(["sweep", str(file), "--out", str(out), "--quiet"]) == 0
    assert "4 painted, 0 already painted, 0 failed" in capsys.readouterr().out
    rows = list(csv.DictReader((out / "results.csv").open(encoding="utf-8")))
    assert [(row["prompt"], row["seed"]) for row in rows] == [("red", "0"), ("red", "1"), ("blue", "0"), ("blue", "1")]
    assert all(float(row["loss " + row["prompt"]]) < 1 for row in rows)
    assert Image.open(out / "contact.png").width > 400
    assert cli.main(["sweep", str(file), "--out", str(out), "--quiet"]) == 0
    assert "0 painted, 4 already painted" in capsys.readouterr().out
    assert cli.main(["sweep", str(file), "--dry-run", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("4 pictures, about ")
    assert cli.main(["sweep"]) == 2
    assert "`vqclip sweep --example` prints one" in capsys.readouterr().err


def test_a_judge_that_cannot_be_is_said_before_anything_is_painted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "a.txt", "red")
    for judge, sentence in (("nonsense", "'nonsense'"), ("demo", "must be a perceptor that did not guide, got 'demo'")):
        assert cli.main(["sweep", "a.txt", "--judge", judge]) == 2
        output = capsys.readouterr().err
        assert sentence in output
        assert len(output.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_dry_run_counts_the_workers_of_ray(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vqclip_nb.cli.sweep.prepare", lambda settings: None)
    monkeypatch.setattr("vqclip_nb.sweeps.estimate.workers_here", lambda: 4)
    monkeypatch.setattr("vqclip_nb.sweeps.estimate._step", lambda item: 1.0)
    file = written(tmp_path, "a.yaml", "settings: {steps: 600}\ncross: {prompt: [red], seed: [0, 1, 2, 3, 4]}\n")
    for words, foretold in (
        ([], "50 min and"),
        (["--ray"], "20 min with 4 workers and"),
        (["--ray", "--workers", "2"], "30 min with 2 workers and"),
        (["--ray", "--workers", "9"], "20 min with 4 workers and"),
        (["--address", "head:6379", "--workers", "5"], "10 min with 5 workers and"),
    ):
        assert cli.main(["sweep", str(file), "--dry-run", *words]) == 0
        assert f"5 pictures, about {foretold}" in capsys.readouterr().out
    assert cli.main(["sweep", str(file), "--dry-run", "--ray", "--workers", "0"]) == 2
    assert capsys.readouterr().err == "vqclip: workers must be 1 or more, got 0\n"


WORKER = """
import sys
from unittest import mock
from tests.browsing import watch
from tests.toys import toy_models
from vqclip_nb.sweeps import sweep
from vqclip_nb.sweeps.items import make_items

items = make_items([{"prompt": "red", "seed": seed} for seed in range(3)], eval(sys.argv[2]))
film = lambda frames, path, *rest: path.write_bytes(b"film")
with toy_models(), mock.patch("vqclip_nb.video._encode", film), mock.patch(
    "vqclip_nb.runs.metadata.model_hashes", return_value={}
):
    for result in sweep(items, sys.argv[1]):
        print(result.state, flush=True)
"""


def test_a_sweep_that_is_killed_loses_nothing_and_paints_the_same_pixels(tmp_path):
    common = {**SMALL, "steps": 400, "save_every": "5", "every": 50}
    command = [sys.executable, "-c", WORKER, str(tmp_path / "killed"), repr(common)]
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "painted\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run_result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert run_result.stdout.split()[0] == "there"
    whole = [*command[:3], str(tmp_path / "whole"), repr(common)]
    subprocess.run(whole, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert pixels(tmp_path / "killed") == pixels(tmp_path / "whole")


def test_the_page_shows_every_picture_and_sorts_them(tmp_path, browser, request):
    items = make_items([{"prompt": colour, "seed": 2 - n} for n, colour in enumerate(("red", "blue", "green"))], SMALL)
    write_reports(list(sweep(items, tmp_path)), tmp_path)
    page = watch(request.node, browser.new_page())
    failures = []
    page.on("pageerror", lambda error: failures.append(error))
    page.goto((tmp_path / "index.html").as_uri())
    captions = lambda: [text.split()[0] for text in page.locator("figcaption").all_inner_texts()]  # noqa: E731
    assert captions() == ["red", "blue", "green"]
    assert page.locator("img").evaluate_all("all => all.every(image => image.naturalWidth > 0)")
    page.select_option("#sort", "prompt")
    assert captions() == ["blue", "green", "red"]
    page.select_option("#sort", "seed")
    assert captions() == ["green", "blue", "red"]
    page.check("#reverse")
    assert captions() == ["red", "blue", "green"]
    page.close()
    assert not failures
