"""A disk that is full, or gone, is said once; the painting goes on in memory and is saved when it can be."""

import shutil
import tempfile

import pytest
from PIL import Image

from tests import crash_worker
from tests.toys import toy_models
from vqclip_nb.errors import PaintWarning
from vqclip_nb.runs import background_writer, layout, writer
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.session import resume, start


@pytest.fixture(autouse=True)
def toys():
    with toy_models(), crash_worker.no_film():
        yield


def painted(out, at_step=lambda step, active: None):
    active = start(crash_worker.settings(out))
    for frame in active:
        at_step(frame.step, active)
    return active.record.finish(active.painting).parent


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_full_disk_is_said_once_and_all_is_saved_when_there_is_room(tmp_path, monkeypatch):
    whole, disk = painted(tmp_path / "whole"), {"full": False}

    def write(path, data, real=background_writer.write, **more):
        if disk["full"]:
            raise OSError(28, "No space left on device")
        real(path, data, **more)

    def fill(step, active):
        active.record._writer.flush()
        disk["full"] = 2 <= step < 6

    monkeypatch.setattr(background_writer, "write", write)
    with pytest.warns(PaintWarning) as records:
        folder = painted(tmp_path / "runs", fill)
    messages = [str(warning.message).partition(": ")[0] for warning in records]
    assert messages == [
        "the run's folder cannot be written to (No space left on device); the painting goes on, and its "
        "files are kept in memory until they can be written",
        "the run's folder can be written to again, and all files are saved",
    ]
    assert names(folder) == names(whole)
    assert (folder / "result.png").read_bytes() == (whole / "result.png").read_bytes()


def test_a_drive_that_goes_and_comes_back_is_written_to_again(tmp_path):
    whole, out, away = painted(tmp_path / "whole"), tmp_path / "drive", tmp_path / "away"

    def unplug(step, active):
        active.record._writer.flush()
        if step == 3:
            out.rename(away)
        if step == 6:
            assert not out.exists(), "nothing is written under a drive that is gone"
            away.rename(out)

    with pytest.warns(PaintWarning) as records:
        folder = painted(out, unplug)
    assert len(records) == 2, "that it is gone, and that it is back"
    assert names(folder) == names(whole)


def test_a_folder_that_was_deleted_is_made_again_and_resumes(tmp_path):
    def lose(step, active):
        if step == 5:
            active.record._writer.flush()
            shutil.rmtree(active.record.folder)

    folder = painted(tmp_path / "runs", lose)
    assert {"settings.json", "losses.csv", "result.png", "frames/000008.jpg"} <= names(folder)
    assert resume(folder).painting.step_count == crash_worker.STEPS


def test_what_cannot_be_written_to_the_end_is_rescued(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def unplug(step, active):
        if step == 3:
            active.record._writer.flush()
            (tmp_path / "drive").rename(tmp_path / "away")

    with pytest.warns(PaintWarning) as records:
        folder = painted(tmp_path / "drive", unplug)
    assert [str(warning.message) for warning in records if f"the missing files are in {folder}" in str(warning.message)]
    assert folder.parent == tmp_path
    assert Image.open(folder / "result.png").size == (32, 16)
    assert resume(folder).painting.step_count == crash_worker.STEPS


def test_too_many_pictures_in_memory_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(background_writer, "MAX_UNWRITTEN_BYTES", 1000)
    saved = background_writer.BackgroundWriter(tmp_path / "gone" / "run", {})

    def put_all():
        for step in range(1, 9):
            saved.put(f"frames/{step:06}.jpg", lambda: b"." * 400)
            saved.flush()

    with pytest.warns(PaintWarning, match="cannot be written to"):
        put_all()
    assert len(saved.unwritten) <= 3
    assert "frames/000008.jpg" in saved.unwritten or "frames/000007.jpg" in saved.unwritten


def test_a_state_that_cannot_be_made_deletes_none_before_it(tmp_path, monkeypatch):
    active = start(crash_worker.settings(tmp_path))
    next(frame for frame in active if frame.step == 4)
    monkeypatch.setattr(writer.checkpoint, "pack", lambda state: bytes(10**18))  # more than any machine has

    def save_twice():
        for _ in range(2):
            active.painting.step()
            assert not active.record.save(active.painting)

    with pytest.warns(PaintWarning, match="could not be made"):
        save_twice()
    assert active.record.saved_steps == (2, 4)
    assert RunInfo.read(active.record.folder).saved_steps == [2, 4]


def test_a_file_that_cannot_be_made_costs_only_itself(tmp_path):
    saved = background_writer.BackgroundWriter(tmp_path / "run", {})

    def put_both():
        saved.put("a.txt", lambda: bytes(1 // 0))
        saved.put("b.txt", lambda: b"b")
        assert saved.close()

    with pytest.warns(PaintWarning, match="a.txt could not be made: .*by zero"):
        put_both()
    assert layout.frames(tmp_path) == []
    assert (tmp_path / "run" / "b.txt").read_bytes() == b"b"
