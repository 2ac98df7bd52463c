"""A real disk of one megabyte that is full while a run is painted, taken up, deleted, or its film is encoded."""

import errno
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import crash_worker
from tests.toys import toy_models
from vqclip_nb import cli
from vqclip_nb.errors import FilmError, PaintWarning, RunError
from vqclip_nb.runs.reader import RunInfo, read_all
from vqclip_nb.session import resume, start
from vqclip_nb.video import film

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a disk here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, its film left out."""
    with toy_models(), crash_worker.no_film():
        active = start(crash_worker.settings(tmp_path_factory.mktemp("whole") / "runs"))
        list(active)
        return active.record.finish(active.painting).parent


def fill(disk, left=0):
    """Leave so many bytes free."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (65536, 4096):
            while shutil.disk_usage(disk).free >= left + size:
                file.write(bytes(size))


def outcome(folder):
    return {path.name: path.read_bytes() for path in (*folder.glob("frames/*"), *folder.glob("result*"))}


def finish(active):
    list(active)
    return active.record.finish(active.painting)


def test_a_film_for_which_there_is_no_room_is_a_sentence_and_leaves_nothing(tmp_path, disk):
    frames = [tmp_path / f"{step:06}.jpg" for step in range(1, 9)]
    for index, path in enumerate(frames):
        noise = np.random.default_rng(index).integers(0, 256, (256, 256, 3), np.uint8)
        Image.fromarray(noise).save(path)
    for suffix in (".mp4", ".gif", ".webp"):
        fill(disk, left=8192)
        with pytest.raises(FilmError, match=r"^the film could not be written: [^\n]+$"):
            film(frames, disk / f"film{suffix}", fps=30)
        assert [path.name for path in disk.iterdir()] == ["filler"]
        (disk / "filler").unlink()
    film(frames, disk / "film.mp4", fps=30)
    assert b"moov" in (disk / "film.mp4").read_bytes()


@pytest.mark.parametrize("left", [0, 4096, 16384, 65536, 262144])
def test_a_run_on_a_full_disk_is_painted_and_saved_where_there_is_room(tmp_path, disk, whole, monkeypatch, left):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with toy_models(), crash_worker.no_film(), warnings.catch_warnings():
        warnings.simplefilter("ignore", PaintWarning)
        if left == 0:
            fill(disk)
            with pytest.raises(RunError, match=r"^out must be a folder that can be written to, got .*No space left"):
                start(crash_worker.settings(disk / "runs"))
            assert {path.name for path in disk.rglob("*")} <= {"filler", "runs"}
            return
        active = start(crash_worker.settings(disk / "runs"))
        begun = active.record.folder
        fill(disk, left=left)
        result = finish(active)
        assert result.parent.parent == (disk / "runs" if left == 262144 else tmp_path)
        assert outcome(begun) | outcome(result.parent) == outcome(whole)
        (disk / "filler").unlink()
        assert outcome(finish(resume(begun)).parent)["result.png"] == outcome(whole)["result.png"]


@pytest.mark.parametrize("left", [0, 4096, 8192])
def test_a_run_is_taken_up_on_a_full_disk_and_nothing_is_lost(tmp_path, disk, whole, monkeypatch, left):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run = disk / "run"
    shutil.copytree(whole, run)
    saved = max(step for step in RunInfo.read(run).saved_steps if step < 8)
    fill(disk, left=left)
    with toy_models(), crash_worker.no_film(), warnings.catch_warnings():
        warnings.simplefilter("ignore", PaintWarning)
        result = finish(resume(run, step=saved))
        assert outcome(result.parent)["result.png"] == outcome(whole)["result.png"]
        (disk / "filler").unlink()
        finish(resume(run))
    assert outcome(run) == outcome(whole)
    assert not list(run.rglob("*.part"))


def test_a_run_is_deleted_on_a_full_disk(disk, whole, capsys):
    for name in ("run", "other"):
        shutil.copytree(whole, disk / "runs" / name)
    fill(disk)
    assert cli.main(["runs", "--out", str(disk / "runs"), "--prune", "run", "--yes"]) == 0
    assert "Deleted 1" in capsys.readouterr().out
    assert [path.name for path in (disk / "runs").iterdir()] == ["other"]
    assert not read_all(disk / "runs")[1]


def test_a_disk_that_is_full_is_one(disk):
    fill(disk)
    with pytest.raises(OSError, match="No space left") as full:
        (disk / "more").write_bytes(bytes(8192))
    assert full.value.errno == errno.ENOSPC


def test_a_model_is_not_entered_on_a_full_disk(tmp_path, disk, monkeypatch, capsys):
    import yaml

    from tests import standins

    monkeypatch.setenv("VQCLIP_HOME", str(disk / "home"))
    monkeypatch.chdir(tmp_path)
    standins.save_lightning(Path("mine.ckpt"), standins.tiny_vqgan())
    Path("mine.yaml").write_text(yaml.safe_dump(standins.TINY_CONFIG))
    assert cli.main(["models", "add", "mine", "--config", "mine.yaml", "--weights", "mine.ckpt"]) == 2
    assert "GB are free. Remove a model" in capsys.readouterr().err
    assert not list(disk.rglob("*mine*"))
