"""A run hands its picture to another canvas in mid-run, and is resumed, replayed, branched and undone exactly."""

import json

import pytest
import torch

from tests.test_resume import left_off, outcome, see_through, toys  # noqa: F401 - the toys are used by every test
from vqclip_nb import Settings
from vqclip_nb.errors import SettingsError
from vqclip_nb.painting import run
from vqclip_nb.session import branch, build_painting, replay, resume, start
from vqclip_nb.settings import Settings as S
from vqclip_nb.timeline import Edit


def settings(tmp_path, **more):
    values = {"prompt": "red | blue:-0.2", "size": (32, 32), "steps": 8, "cutn": 2, "device": "cpu", "save_every": "2"}
    return Settings(**{**values, "out": str(tmp_path / "runs"), "canvas": "fourier", "relay": "4:vqgan/demo", **more})


def test_the_picture_goes_on_on_the_other_canvas(tmp_path):
    painting = build_painting(settings(tmp_path, average=0.0, lr=0.07))
    frames = []
    for frame in run(painting, until=4, look=True):
        frames.append(frame)
    before = painting.picture()
    painting.hand_over()
    assert painting.settings.canvas == "vqgan/demo"
    assert painting.settings.lr is None, "the step size is what suits the new canvas"
    assert painting.settings.canvas_options.keys() >= {"tidy"}
    expected = torch.nn.functional.avg_pool2d(before * 2 - 1, 8)  # as the toy encodes, to one of its 125 colours
    codes = painting.canvas.vqgan.codebook
    nearest = codes[torch.cdist(expected.movedim(1, -1).reshape(-1, 3), codes).argmin(1)]
    assert torch.equal(painting.canvas.z.movedim(1, -1).reshape(-1, 3), nearest)
    assert painting.canvas.drift().item() == 0
    assert [each.step for each in run(painting)] == [5, 6, 7, 8]
    assert painting.settings.canvas == "vqgan/demo"


WAYS = [
    {"average": 0.8, "variations": 2, "init_weight": 0.3},
    {"relay": "25%:pixels | 6:vqgan/demo", "lr": "0:(0.1), 8:(0.02)", "average": 0.0},
    {"canvas": "vqgan/demo", "relay": "3:fourier", "keep": "best", "plateau": 2},
]


@pytest.mark.parametrize("more", WAYS, ids=["to a model", "twice", "from a model"])
def test_such_a_run_is_resumed_replayed_and_branched_exactly(tmp_path, more):
    run_settings = settings(tmp_path, **more)
    folder = see_through(start(run_settings))
    whole = outcome(folder)
    edits = [json.loads(line) for line in whole[2][1].splitlines()]
    assert [(edit["step"], edit["settings"]["canvas"]) for edit in edits] == {
        "4:vqgan/demo": [(4, "vqgan/demo")],
        "25%:pixels | 6:vqgan/demo": [(2, "pixels"), (6, "vqgan/demo")],
        "3:fourier": [(3, "fourier")],
    }[run_settings.relay]
    for after in (3, 5):  # on either side of a relay
        cut = left_off(start(run_settings), after=after)
        assert outcome(see_through(resume(cut))) == whole
    assert outcome(see_through(replay(folder)))[0] == whole[0]
    assert outcome(see_through(replay(folder / "result.png")))[0] == whole[0]
    child = see_through(branch(folder, Edit({"steps": 10}), step=7))
    assert outcome(see_through(replay(child)))[0] == outcome(child)[0]


def test_undo_goes_back_to_the_canvas_before(tmp_path):
    active = start(settings(tmp_path))
    for frame in active:
        if frame.step == 5:
            break
    active.record.rewind(active.painting, 4)
    assert active.painting.settings.canvas == "fourier"
    folder = see_through(active)
    assert outcome(folder)[0] == outcome(see_through(start(settings(tmp_path))))[0]


def test_a_branch_may_go_on_on_another_canvas(tmp_path):
    folder = see_through(start(settings(tmp_path, relay="")))
    active = branch(folder, Edit({"canvas": "pixels", "steps": 12, "fixed_palette": "navy, white"}), step=6)
    assert active.painting.settings.canvas == "pixels"
    child = see_through(active)
    assert outcome(see_through(replay(child)))[0] == outcome(child)[0]


def test_one_variation_goes_on_on_another_canvas(tmp_path):
    painting = build_painting(settings(tmp_path, relay="", variations=3, keep="best"))
    for _ in range(3):
        painting.step()
    second = painting.lowest.image[1:2].clone()
    painting.apply(Edit({"canvas": "pixels"}, variation=2))
    assert painting.picture().shape == second.shape
    assert (painting.picture() - second).abs().mean() < 0.1
    *_, last = run(painting)
    assert last.image.shape == second.shape


def test_what_is_rendered_larger_is_symmetric_too(tmp_path):
    painting = build_painting(settings(tmp_path, relay="", symmetry="mirror"))
    painting.step()
    image = painting.picture((96, 96))
    assert image.shape == (1, 3, 96, 96)
    torch.testing.assert_close(image, image.flip(-1))


def test_a_relay_that_cannot_be_is_said_before_a_step_is_made(tmp_path):
    for relay, message in (
        ("4", "relay must be step:canvas"),
        ("4:vqgan", "canvas must be vqgan/<model>"),
        ("120%:pixels", "relay must be step:canvas"),
        ("4:pixls", "did you mean 'pixels'"),
    ):
        with pytest.raises(SettingsError, match=message):
            S(relay=relay)
    with pytest.raises(SettingsError, match=r"^relay must be between canvases of one size: vqgan/demo paints 24 x 32"):
        build_painting(settings(tmp_path, size=(30, 33)))
    with pytest.raises(SettingsError, match=r"^the loss range has no effect"):
        build_painting(settings(tmp_path, canvas="vqgan/demo", relay="4:pixels", losses="range"))
    painting = build_painting(settings(tmp_path, canvas="pixels", size=(30, 33), relay=""))
    painting.step()
    before = painting.state_dict()["facts"]
    with pytest.raises(SettingsError, match="paint --size 24 32"):
        painting.apply(Edit({"canvas": "vqgan/demo"}))
    assert painting.state_dict()["facts"] == before
    painting.step()
