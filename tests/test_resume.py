"""A run goes on as if nothing had happened, is painted again, branches, and is taken back."""

import json
import shutil
from itertools import pairwise

import pytest
import torch
from PIL import Image

from tests.toys import toy_models
from vqclip_nb import Settings, video
from vqclip_nb.embedded import read
from vqclip_nb.errors import PaintWarning, RunError, SettingsError
from vqclip_nb.fields import live_fields
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.session import branch, replay, resume, start
from vqclip_nb.timeline import Edit

STEPS = 7
PLAIN = {"optimizer": "adam"}
WAYS = [
    *({"optimizer": rule} for rule in ("adamax", "adamp", "diffgrad", "rmsprop", "sgd")),
    {"average": 0.8, "variations": 3, "init_weight": 0.3},
    {"canvas": "pixels", "smoothness": 0.5, "cutouts": "crops"},
    {"canvas": "fourier", "average": 0.5},
    {"codes": "multinomial", "variations": 2},
    {"canvas": "wavelets", "wave": "haar"},
    {"codes": "gumbel", "temperature": 0.5, "average": 0.0},
    {"keep": "best", "plateau": 2, "plateau_factor": 0.7, "accumulate": 2, "variations": 2, "average": 0.0},
    {"canvas": "siren", "layers": 3, "hidden_size": 16, "variations": 2},
]


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(str(len(frames)).encode()))
    with toy_models():
        yield


def settings(tmp_path, **more):
    values = {"prompt": "red | blue:-0.2", "size": (16, 16), "steps": STEPS, "cutn": 2, "device": "cpu"}
    return Settings(**{**values, "save_every": "2", "every": 1, "out": str(tmp_path / "runs"), **more})


def see_through(active, changes=(), stop_after=None):
    """Paint, making each change after its step; the folder."""
    for frame in active:
        for change in changes:
            if change.step == frame.step:
                active.painting.apply(change)
        if frame.step == stop_after:
            break
    return active.record.finish(active.painting).parent


def left_off(active, after):
    """The folder of a run that nobody finished, as a kill leaves it."""
    for frame in active:
        if frame.step == after:
            active.record._writer.flush()
            return active.record.folder
    raise AssertionError("the run was over before")


def outcome(folder):
    """What a person has of a run: the pixels, the frames, the losses and the changes."""
    frames = {path.name: path.read_bytes() for path in (folder / "frames").iterdir()}
    pixels = {path.name: Image.open(path).tobytes() for path in folder.glob("result*.png")}
    texts = [(folder / name).read_text() for name in ("losses.csv", "timeline.jsonl")]
    return pixels, frames, texts


@pytest.mark.parametrize("more", [PLAIN, *WAYS], ids=lambda more: next(iter(more.values())))
def test_a_run_taken_up_paints_the_pixels_it_would_have_painted(tmp_path, more):
    run_settings = settings(tmp_path, **more)
    whole = outcome(see_through(start(run_settings)))
    cut = left_off(start(run_settings), after=5)
    active = resume(cut)
    assert active.painting.step_count == 4, "the last state before the kill"
    assert outcome(see_through(active)) == whole


def test_changes_made_while_painting_are_taken_up_and_painted_again(tmp_path):
    run_settings = settings(tmp_path)
    changes = [Edit({"prompt": "green", "lr": 0.2}, 2), Edit({"cutn": 3, "seed": 9, "steps": 9}, 4)]
    folder = see_through(start(run_settings), changes)
    whole = outcome(folder)
    assert [json.loads(line) for line in whole[2][1].splitlines()] == [
        {"step": 2, "settings": {"prompt": "green", "lr": 0.2}},
        {"step": 4, "settings": {"cutn": 3, "seed": 9, "steps": 9}},
    ]
    active = start(run_settings)
    cut = left_off_with(active, changes, after=6)
    assert outcome(see_through(resume(cut))) == whole

    assert outcome(see_through(replay(folder))) == whole
    assert outcome(see_through(replay(folder / "result.png", run_options={"every": 1}))) == whole


def test_a_replay_or_a_changed_run_that_is_killed_still_makes_its_changes(tmp_path):
    run_settings = settings(tmp_path, save_every="1000")
    changes = [Edit({"prompt": "green"}, 2), Edit({"lr": 0.3, "steps": 9}, 5)]
    folder = see_through(start(run_settings), changes)
    whole = outcome(folder)
    killed = left_off(replay(folder), after=3)
    assert [change.step for change in RunInfo.read(killed).timeline] == [2, 5], "one made, one ahead"
    assert outcome(see_through(resume(killed))) == whole

    stopped = see_through(start(settings(tmp_path)), stop_after=3)
    active = resume(stopped, change=Edit({"prompt": "green"}))
    left_off(active, after=3 + 1)
    assert active.record.saved_steps[-1] == 4
    (stopped / "state" / "000004.safetensors").write_bytes(b"torn")
    with pytest.warns(PaintWarning, match="cannot be read"):
        assert see_through(resume(stopped)) == stopped
    assert RunInfo.read(stopped).current.prompt == "green"


def test_a_run_without_a_state_is_painted_again_with_its_changes(tmp_path):
    folder = see_through(start(settings(tmp_path, save_every="1000")), [Edit({"prompt": "green", "steps": 9}, 4)])
    whole = outcome(folder)
    shutil.rmtree(folder / "state")
    left_off(resume(folder), after=2)
    assert outcome(see_through(resume(folder))) == whole


def left_off_with(active, changes, after):
    for frame in active:
        for change in changes:
            if change.step == frame.step:
                active.painting.apply(change)
        if frame.step == after:
            return active.record.folder


def test_a_run_that_was_stopped_goes_on_and_may_be_painted_further(tmp_path):
    run_settings = settings(tmp_path)
    whole = outcome(see_through(start(run_settings)))
    folder = see_through(start(run_settings), stop_after=3)
    assert read(folder / "result.png")["step"] == 3
    assert outcome(see_through(resume(folder))) == whole

    active = resume(folder)
    active.painting.apply(Edit({"steps": STEPS + 2}))
    assert see_through(active) == folder
    assert read(folder / "result.png")["step"] == STEPS + 2
    assert len(list((folder / "frames").iterdir())) == STEPS + 2
    assert outcome(see_through(replay(folder))) == outcome(folder)


def test_undo_takes_back_what_came_after_a_kept_state(tmp_path):
    run_settings = settings(tmp_path, variations=2)
    whole = outcome(see_through(start(run_settings)))
    active = start(run_settings)
    for frame in active:
        if frame.step == 5:
            active.painting.apply(Edit({"prompt": "green"}, variation=2))
        if frame.step == 6:
            break
    assert active.record.saved_steps == (4, 6)
    active.record.rewind(active.painting, 4)
    assert (active.painting.settings.prompt, active.painting.settings.variations) == ("red | blue:-0.2", 2)
    assert outcome(see_through(active)) == whole

    with pytest.raises(RunError, match=r"step must be one with a saved state \(6, 7\), got 3"):
        resume(active.record.folder, step=3)
    assert resume(active.record.folder, step=6).painting.step_count == 6


def test_a_branch_goes_another_way_and_remembers_its_parent(tmp_path):
    run_settings = settings(tmp_path, variations=3, seed=5)
    parent = see_through(start(run_settings), stop_after=4)
    before = outcome(parent)

    active = branch(parent, Edit({"prompt": "green"}, variation=2))
    assert active.painting.settings.seeds == (6,)
    child = see_through(active)
    story = RunInfo.read(child)
    assert (story.parent, story.settings.prompt, story.current.prompt) == ((parent.name, 4), "red | blue:-0.2", "green")
    assert "green-6" in child.name
    assert len(list((child / "frames").iterdir())) == STEPS
    assert {Image.open(path).size for path in (child / "frames").iterdir()} == {(16, 16)}
    assert {line.split(",")[1] for line in (child / "losses.csv").read_text().splitlines()[1:]} == {"1"}
    assert outcome(parent) == before
    assert outcome(see_through(replay(child)))[0] == outcome(child)[0], "settings and timeline tell the whole way"

    other = branch(child, Edit({"seed": 77}))
    assert other.painting.settings.steps == 2 * STEPS, "none was left, so as many again"
    assert RunInfo.read(see_through(other)).parent == (child.name, STEPS)
    with pytest.raises(SettingsError, match="variation must be from 1 to 3, got 4"):
        branch(parent, Edit({}, variation=4))

    same = {name: run_settings.value(name) for name in live_fields(run_settings)}
    short = branch(parent, Edit({**same, "prompt": "white", "steps": 3}))
    assert dict(short.painting.timeline[-1].settings) == {"prompt": "white", "steps": 4 + 3}, "what differs alone"


def test_a_branch_begins_at_any_step_whether_its_state_is_kept_or_not(tmp_path):
    run_settings = settings(tmp_path, steps=12)
    parent = see_through(start(run_settings), [Edit({"prompt": "green"}, 3)])
    assert RunInfo(parent, run_settings).saved_steps == [10, 12]
    way = []
    for step, begun in ((5, list(range(1, 6))), (11, [11])):
        way.clear()
        active = branch(parent, Edit({"lr": 0.3}), step=step, on_way=way.append)
        assert (way, active.painting.step_count) == (begun, step)
        assert [change.step for change in active.painting.timeline] == [3, step]
        again = see_through(replay(see_through(active)))
        assert outcome(again)[0] == outcome(active.record.folder)[0], "the way there was the parent's"
    with pytest.raises(RunError, match="step must be from 1 to 12, the last step of this run, got 13"):
        branch(parent, Edit({}), step=13)


def test_given_pictures_of_changes_are_taken_in_by_hash(tmp_path):
    secret = tmp_path / "secret-name"
    secret.mkdir()
    for name in ("blue", "red"):
        Image.new("RGB", (20, 20), name).save(secret / f"{name}.png")
    run_settings = settings(tmp_path, init_image=str(secret / "blue.png"))
    folder = see_through(start(run_settings), [Edit({"image_prompts": (f"{secret / 'red.png'}:2",)}, 2)])
    whole = outcome(folder)
    assert len(list((folder / "inputs").iterdir())) == 2
    assert not [path for path in folder.rglob("*") if path.is_file() and b"secret-name" in path.read_bytes()]
    for path in secret.iterdir():
        path.unlink()
    assert outcome(see_through(resume(folder, step=6))) == whole
    assert outcome(see_through(replay(folder))) == whole
    assert outcome(see_through(branch(folder, Edit({"steps": 9}))))[1].keys() > whole[1].keys()


def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path):
    run_settings = settings(tmp_path)
    whole = outcome(see_through(start(run_settings)))
    cut = left_off(start(run_settings), after=5)
    newest = cut / "state" / "000004.safetensors"
    data = bytearray(newest.read_bytes())
    data[-5] ^= 1
    newest.write_bytes(data)
    with pytest.warns(PaintWarning, match="the state 000004.safetensors is damaged; an earlier one is used"):
        active = resume(cut)
    assert active.painting.step_count == 2
    assert outcome(see_through(active)) == whole


def test_a_folder_of_an_older_version_still_opens(tmp_path):
    run_settings = settings(tmp_path)
    whole = outcome(see_through(start(run_settings)))
    old = tmp_path / "runs" / "old"
    (old / "frames").mkdir(parents=True)
    (old / "settings.json").write_text(run_settings.to_json())
    assert outcome(see_through(resume(old, run_options={"save_every": "2", "every": 1, "device": "cpu"}))) == whole
    newer = json.loads((see_through(replay(old)) / "settings.json").read_text()) | {"version": 99}
    (old / "settings.json").write_text(json.dumps(newer))
    with pytest.raises(RunError, match="it has version 99, but this vqclip reads versions up to 2; update vqclip"):
        resume(old)


def test_state_is_kept_by_steps_or_seconds_and_the_last_two_stay(tmp_path):
    folder = see_through(start(settings(tmp_path, save_every="3")), stop_after=6)
    assert RunInfo.read(folder).saved_steps == [3, 6]
    active = start(settings(tmp_path, save_every="1s"))
    saved = []
    for _ in active:
        active.record._saved_at -= 0.5
        saved.append(active.record.saved_steps[-1:])
    assert [before for before, after in pairwise(saved) if before != after], "a second passes every two steps"


def test_a_painting_says_the_same_in_every_seed_that_changes(tmp_path):
    folder = see_through(start(settings(tmp_path, variations=2, seed=5)), [Edit({"seed": 40}, 3)])
    alone = read(folder / "result-2.png")
    assert (alone["settings"]["seed"], alone["timeline"][0]["settings"]["seed"]) == (6, 41)
    assert torch.equal(
        replay(folder / "result-2.png").painting.picture(), start(settings(tmp_path, seed=6)).painting.picture()
    )


def test_a_run_that_ended_early_is_over_when_it_is_taken_up(tmp_path):
    run_settings = settings(tmp_path, lr=1e-9, steps=50, cutouts="pooling-published", early_stop=4)
    folder = see_through(start(run_settings))
    made = len(list((folder / "frames").iterdir()))
    assert 5 <= made < 50
    assert (folder / "result.png").is_file()
    whole = outcome(folder)
    assert outcome(see_through(resume(folder))) == whole
    assert outcome(see_through(replay(folder)))[0] == whole[0]
    longer = resume(folder, change=Edit({"early_stop": 0}))
    assert next(iter(longer)).step == made + 1
