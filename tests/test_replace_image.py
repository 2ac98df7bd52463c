"""A painting goes on from another picture in mid-run, as if it had begun there, and so does a run that is resumed."""

import json

import pytest
import torch
from PIL import Image

from tests.test_resume import left_off, outcome, see_through, settings
from tests.toys import toy_models
from vqclip_nb import images, video
from vqclip_nb.embedded import read
from vqclip_nb.errors import PictureError, RunError
from vqclip_nb.painting import run
from vqclip_nb.session import branch, build_painting, replay, resume, start
from vqclip_nb.timeline import Edit


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    with toy_models():
        yield


def noise(side=16):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("canvas", ["vqgan/demo", "pixels", "fourier"])
def test_it_goes_on_as_a_painting_that_begins_there(tmp_path, canvas):
    images.to_pils(noise(20))[0].save(tmp_path / "noise.png")
    run_settings = settings(tmp_path, canvas=canvas, variations=2, average=0.7, init_weight=0.4)
    painting = build_painting(run_settings)
    list(run(painting, until=3))
    painting.replace_image(noise(20))
    assert painting.canvas.drift().tolist() == [0, 0]

    fresh = build_painting(run_settings.replace(init_image=str(tmp_path / "noise.png")))
    fresh.step_count = fresh.averages.since = 3
    assert torch.equal(painting.picture(), fresh.picture())
    pairs = list(zip(run(painting, look=True), run(fresh, look=True), strict=True))
    assert [frame.step for frame, _ in pairs] == [4, 5, 6, 7]
    assert all(torch.equal(here.image, there.image) for here, there in pairs)


@pytest.mark.parametrize(
    ("inputs", "more"),
    [
        ("tensor", {"canvas": "pixels"}),
        ("PIL", {"average": 0.8, "variations": 2, "init_weight": 0.3}),
        ("file", {"optimizer": "sgd"}),
    ],
)
def test_a_run_whose_picture_was_replaced_is_resumed_replayed_and_branched_exactly(tmp_path, inputs, more):
    pil = Image.new("RGB", (30, 20), "blue")
    pil.paste((250, 9, 120), (4, 2, 17, 9))
    pil.save(path := tmp_path / "secret-name.png")
    picture = {"tensor": images.to_tensor(pil), "PIL": pil, "file": path}[inputs]

    def replaced(active):
        for frame in active:
            yield frame
            if frame.step == 3:
                active.painting.replace_image(picture)

    class Steered:
        def __init__(self, active):
            self.painting, self.record = active.painting, active.record
            self.frames = replaced(active)

        def __iter__(self):
            return self.frames

    run_settings = settings(tmp_path, **more)
    folder = see_through(Steered(start(run_settings)))
    whole = outcome(folder)
    (edit,) = map(json.loads, whole[2][1].splitlines())
    name = edit["image"].removeprefix("sha256:")
    assert edit == {"step": 3, "settings": {}, "image": f"sha256:{name}"}
    assert images.PictureFile((folder / "inputs" / f"{name}.png").read_bytes()).name == edit["image"]
    assert read(folder / "result.png")["timeline"] == [edit]
    assert not [file for file in folder.rglob("*") if file.is_file() and b"secret-name" in file.read_bytes()]

    cut = left_off(Steered(start(run_settings)), after=5)
    path.unlink()
    assert outcome(see_through(resume(cut))) == whole
    assert outcome(see_through(replay(folder))) == whole
    assert outcome(see_through(replay(folder / "result.png", run_options={"every": 1}))) == whole
    killed = left_off(replay(folder), after=2)
    assert outcome(see_through(resume(killed))) == whole, "it was still ahead"

    child = see_through(branch(folder, Edit({"steps": 9}), step=5))
    assert outcome(see_through(replay(child)))[0] == outcome(child)[0]


def test_a_picture_that_cannot_be_changes_nothing(tmp_path):
    painting = build_painting(settings(tmp_path))
    painting.step()
    before, picture = painting.state_dict(), painting.picture()
    (tmp_path / "text.png").write_text("no picture")
    for wrong in (noise().expand(2, -1, -1, -1), tmp_path / "nowhere.png", str(tmp_path / "text.png")):
        with pytest.raises(PictureError):
            painting.replace_image(wrong)
    assert painting.state_dict()["facts"] == before["facts"]
    assert torch.equal(painting.picture(), picture)


def test_a_file_from_elsewhere_names_pictures_by_their_content_alone():
    with pytest.raises(RunError, match="a change must be"):
        Edit.from_dict({"step": 1, "settings": {}, "image": "/etc/passwd"})
