"""Pictures and films say how they were painted, to whoever asks, and never where or by whom."""

import getpass
import json
import socket
from unittest import mock

import pytest
from PIL import Image

from tests.toys import toy_models
from vqclip_nb import Settings, embedded
from vqclip_nb.embedded import encode, read
from vqclip_nb.errors import PaintWarning, PictureError
from vqclip_nb.runs import metadata
from vqclip_nb.runs.metadata import describe
from vqclip_nb.session import start
from vqclip_nb.timeline import Edit


@pytest.fixture(scope="module")
def metadata_run(tmp_path_factory):
    """The folder of a run that was given a picture and steered, and its path."""
    place = tmp_path_factory.mktemp("secret-name")
    Image.new("RGB", (20, 20), "blue").save(place / "given.png")
    values = {"prompt": "red", "size": (33, 17), "steps": 4, "cutn": 2, "device": "cpu", "canvas": "pixels"}
    with toy_models(), mock.patch.object(metadata, "model_hashes", return_value={"clip/demo": "ab" * 32}):
        active = start(Settings(**values, init_image=str(place / "given.png"), out=str(place / "runs")))
        for frame in active:
            if frame.step == 2:
                active.painting.apply(Edit({"lr": 0.2}))
        folder = active.record.finish(active.painting).parent
    return folder, place


def test_every_kind_of_file_says_the_same(metadata_run):
    folder, _ = metadata_run
    description = read(folder / "result.png")
    assert description.keys() == {"version", "settings", "timeline", "step", "package", "models"}
    assert description["timeline"] == [{"step": 2, "settings": {"lr": 0.2}}]
    assert description["settings"]["init_image"].startswith("sha256:")
    assert description["models"].keys() == {"clip/demo"}
    assert read(folder / "progress.mp4") == description
    assert read(folder / "frames" / "000004.jpg") == description
    assert read(folder / "frames" / "000001.jpg") == {**description, "timeline": [], "step": 1}
    with pytest.warns(PaintWarning, match="settings changed while .* was painted; its final settings are used"):
        assert metadata.load_settings(folder / "frames" / "000004.jpg").lr == 0.2


def test_no_file_names_a_path_a_user_or_a_machine(metadata_run):
    folder, place = metadata_run
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"secret-name" not in path.read_bytes(), path
            assert str(place).encode() not in path.read_bytes(), path
    description = json.dumps(read(folder / "result.png"))
    assert not {getpass.getuser(), socket.gethostname()} & set(description.replace('"', " ").split())


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_any_letters_come_back_from_any_format(tmp_path, format):
    run_settings = Settings(prompt='"grün: 火 🙂":2 | fog:-1', seed=7)
    about = describe(run_settings, step=120, hashes={})
    path = tmp_path / "picture"
    path.write_bytes(encode(Image.new("RGB", (8, 8)), format, about))
    assert read(path) == about
    assert metadata.load_settings(path).to_dict() == run_settings.to_dict()

    pil = Image.open(path)
    shown = pil.text["parameters"] if format == "PNG" else pil.getexif().get_ifd(0x8769)[0x9286][8:].decode("utf-16-be")
    assert shown.startswith('"grün: 火 🙂":2 | fog:-1\nSteps: 120, Sampler: adam, Seed: 7, Size: 192x192')


def test_what_other_viewers_show_is_how_it_ended():
    about = describe(
        Settings(prompt="red", seed=3, variations=2),
        timeline=[{"step": 2, "settings": {"prompt": "green"}, "variation": 2}],
        step=120,
        hashes={},
    )
    assert embedded.parameters(about).startswith("green\nSteps: 120, Sampler: adam, Seed: 4,")


def test_a_jpeg_that_cannot_hold_all_holds_none(tmp_path):
    long = describe(Settings(prompt="red " * 20_000), step=1, hashes={})
    (tmp_path / "a.jpg").write_bytes(encode(Image.new("RGB", (8, 8)), "JPEG", long))
    with pytest.raises(PictureError, match="holds no settings"):
        read(tmp_path / "a.jpg")
    (tmp_path / "a.png").write_bytes(encode(Image.new("RGB", (8, 8)), "PNG", long))
    assert read(tmp_path / "a.png") == long


def test_settings_of_a_newer_version_are_refused_with_the_remedy(tmp_path):
    newer = {**describe(Settings(), step=1, hashes={}), "version": 9}
    (tmp_path / "a.png").write_bytes(encode(Image.new("RGB", (8, 8)), "PNG", newer))
    with pytest.raises(PictureError, match="version 9, from a newer version of vqclip; update vqclip"):
        read(tmp_path / "a.png")
