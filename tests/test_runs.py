"""A run's folder explains itself, holds no path, and is whole or not there."""

import json
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tests.toys import toy_models
from vqclip_nb import Settings, embedded, images, safe_files, video
from vqclip_nb.errors import PaintWarning, PictureError, RunError
from vqclip_nb.painting import run
from vqclip_nb.runs import metadata
from vqclip_nb.runs.creation import check_out, slug
from vqclip_nb.runs.writer import RunWriter
from vqclip_nb.session import build_painting, start


@pytest.fixture(autouse=True)
def toys():
    with toy_models():
        yield


def painted(tmp_path, stop_after=None, **more):
    values = {
        "prompt": "red",
        "size": (32, 24),
        "steps": 5,
        "cutn": 2,
        "every": 1,
        "device": "cpu",
        "out": str(tmp_path / "runs"),
    }
    run_settings = Settings(**{**values, **more})
    painting, record = build_painting(run_settings), RunWriter.create(run_settings)
    for frame in run(painting):
        record.add(frame, painting)
        if frame.step == stop_after:
            break
    return run_settings, record.finish(painting)


def test_a_run_is_a_folder_that_explains_itself(tmp_path):
    asked, result = painted(tmp_path, seed=7)
    folder = result.parent
    assert folder.name.endswith("-red-7")
    assert {path.name for path in folder.iterdir()} == {
        *("settings.json", "timeline.jsonl", "losses.csv", "state", "frames", "result.png", "progress.mp4")
    }
    assert (folder / "losses.csv").read_text().splitlines()[0] == "step,picture,name,value"
    assert json.loads((folder / "settings.json").read_text())["version"] == 2
    assert [path.name for path in sorted((folder / "frames").iterdir())] == [f"{step:06}.jpg" for step in range(1, 6)]
    assert Settings.from_json((folder / "settings.json").read_text()).to_dict() == asked.to_dict()
    assert metadata.load_settings(result).to_dict() == asked.to_dict()
    assert Image.open(result).text["parameters"].startswith("red\nSteps: 5, Sampler: adam, Seed: 7, Size: 32x24")


def test_a_run_that_was_stopped_keeps_the_picture_so_far_and_its_film(tmp_path):
    _, result = painted(tmp_path, stop_after=2)
    assert len(list((result.parent / "frames").iterdir())) == 2
    assert (result.parent / "progress.mp4").stat().st_size > 0
    assert Image.open(result).size == (32, 24)


def test_variations_are_a_grid_and_each_says_how_to_paint_it_alone(tmp_path):
    _, result = painted(tmp_path, seed=3, variations=3)
    assert Image.open(result).size == (64, 48)
    for index in (1, 2, 3):
        alone = result.with_name(f"result-{index}.png")
        assert Image.open(alone).size == (32, 24)
        assert (metadata.load_settings(alone).seed, metadata.load_settings(alone).variations) == (2 + index, 1)


def test_given_pictures_are_copied_and_named_by_hash_and_no_path_is_written(tmp_path):
    secret = tmp_path / "secret-name"
    secret.mkdir()
    Image.new("RGB", (20, 20), "blue").save(secret / "a.png")
    arguments = str(secret / "a.png")
    _, result = painted(tmp_path, init_image=arguments, image_prompts=(f"{arguments}:0.5",))
    folder = result.parent
    (copied,) = (folder / "inputs").iterdir()
    assert copied.read_bytes() == (secret / "a.png").read_bytes()

    loaded = metadata.load_settings(result)
    assert loaded.init_image == f"sha256:{copied.stem}"
    assert loaded.image_prompts == (f'"sha256:{copied.stem}":0.5',)
    for path in (result, folder / "settings.json"):
        assert b"secret-name" not in path.read_bytes()
    with pytest.raises(PictureError, match=r"known only by its hash.*--init-image"):
        build_painting(loaded)
    assert build_painting(loaded, inputs=folder / "inputs").picture().shape == (1, 3, 24, 32)


def test_metadata_is_left_out_when_asked(tmp_path):
    _, result = painted(tmp_path, metadata=False)
    assert Image.open(result).text == {}
    with pytest.raises(PictureError, match="holds no settings"):
        embedded.read(result)


def test_the_film_is_h264_of_even_sides_and_about_six_seconds(tmp_path):
    frames = []
    for index in range(400):
        frames.append(tmp_path / f"{index:06}.jpg")
        Image.new("RGB", (33, 21), (index % 256, 0, 0)).save(frames[-1])
    video.film(frames, tmp_path / "film.mp4")
    facts = next(imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4")))
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["size"] == (34, 22)
    assert 5.5 < facts["duration"] < 6.5


def test_a_film_that_fails_leaves_no_file_and_the_picture_stays(tmp_path, monkeypatch):
    def broken(*args, **more):
        raise OSError("the encoder is gone")

    monkeypatch.setattr(video, "_encode", broken)
    with pytest.warns(PaintWarning, match="the film could not be written: the encoder is gone"):
        _, result = painted(tmp_path)
    assert not list(result.parent.glob("*progress*"))


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    safe_files.write(tmp_path / "a", b"first")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("cut")))
    with pytest.raises(OSError, match="cut"):
        safe_files.write(tmp_path / "a", b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"first")]


def test_two_runs_of_the_same_second_have_folders_of_their_own(tmp_path):
    run_settings = Settings(prompt="red", out=str(tmp_path))
    folders = {RunWriter.create(run_settings).folder for _ in range(3)}
    assert len(folders) == 3


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_loaded(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(RunError, match=r"out must be a folder that can be written to, got .*; choose another"):
            check_out(str(out))
    check_out(str(tmp_path / "new" / "deeper"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red house, by the Sea! | fog", "a-red-house-by-the-sea"),
        ("../../etc/passwd", "etc-passwd"),
        ("été à Paris", "ete-a-paris"),
        ("火", "picture"),
        ("word " * 30, "word-word-word-word-word-word-word-word"),
    ],
)
def test_a_prompt_becomes_a_name_that_is_legal_everywhere(prompt, name):
    assert slug(prompt) == name


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"settings": 3}', '{"settings": {"steps": {}}}', '{"settings": {"nope": 1}}', "[" * 50_000]
)
def test_settings_of_a_stranger_are_data(tmp_path, text):
    from PIL.PngImagePlugin import PngInfo

    chunk = PngInfo()
    chunk.add_itxt("vqclip", text)
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png", pnginfo=chunk)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        metadata.load_settings(tmp_path / "a.png")


def test_a_run_stays_where_it_began_wherever_the_process_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    active = start(Settings(prompt="red", size=(16, 16), steps=4, cutn=2, device="cpu", out="runs"))
    assert active.record.folder.parent == Path("runs"), "said as it was asked for"
    (tmp_path / "elsewhere" / "runs").mkdir(parents=True)
    for frame in active:
        if frame.step == 2:
            monkeypatch.chdir(tmp_path / "elsewhere")
    result = active.record.finish(active.painting)
    assert result.parent.parent == tmp_path / "runs"
    assert len(list((result.parent / "frames").iterdir())) == 4
    assert list((tmp_path / "elsewhere" / "runs").iterdir()) == []


def test_grey_of_sixteen_bits_is_as_bright_as_of_eight(tmp_path):
    grey = np.linspace(0, 65535, 4096).reshape(64, 64)
    for kind in (np.uint16, np.int32):
        Image.fromarray(grey.astype(kind)).save(tmp_path / "deep.tif")
        seen = np.array(images.read(tmp_path / "deep.tif", field="init_image"))
        assert np.abs(seen - (grey / 257)[..., None]).max() <= 1


def test_damaged_pictures_are_one_line(tmp_path):
    _, result = painted(tmp_path)
    data = result.read_bytes()
    damaged = tmp_path / "damaged.png"
    for at in range(8, len(data), max(1, len(data) // 60)):
        for broken in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            damaged.write_bytes(broken)
            assert outcome(embedded.read, damaged).isprintable()


def outcome(read, path):
    """What was read, or the one sentence why it could not be."""
    try:
        return json.dumps(read(path)["settings"])
    except PictureError as error:
        return str(error)
