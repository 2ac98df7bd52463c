"""The doctor says all that a bug report needs, and a remedy for each thing that is missing."""

import pytest

from tests import standins
from tests.servers import mirror
from vqclip_nb import device
from vqclip_nb.cli import doctor, main, reference_values
from vqclip_nb.models import catalog, openai_clip, vqgan


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home"


def test_it_names_versions_device_precision_disk_and_cache(capsys, home, monkeypatch):
    monkeypatch.setattr(device, "precision", lambda place, **_: device.FLOAT32)
    main(["doctor"])
    output = capsys.readouterr().out
    for word in (
        "torch ",
        "numpy ",
        "Python 3.",
        "precision float32",
        "GB free in",
        str(home),
        "✓ openai-clip's model",
    ):
        assert word in output
    assert "Traceback" not in output


def test_what_is_missing_comes_with_its_remedy_and_status_1(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "file" / "home"))
    assert main(["doctor"]) == 1
    assert "✗ the cache folder can be written" in (output := capsys.readouterr().out)
    assert "set VQCLIP_HOME to a folder that can" in output
    assert "✗ space for the large models: " in output
    assert "so nothing can be downloaded into it" in output


def test_online_it_asks_each_address_and_checks_the_numbers(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {})
    published = catalog.entries()
    with mirror(b"weights") as server:
        addresses = (server.at("good"), server.at("missing"))
        tiny = catalog.Entry("vqgan", "tiny", sources=(catalog.Source("last.ckpt", addresses),))
        monkeypatch.setattr(catalog, "entries", lambda kind=None: [tiny, *(e for e in published if e.kind == kind)])
        assert main(["doctor", "--online"]) == 1
    output = capsys.readouterr().out
    assert f"✓ vqgan/tiny {addresses[0]}: 7 bytes" in output
    assert f"✗ vqgan/tiny {addresses[1]}: 404" in output
    assert "not on the disk yet" in output  # the reference checks say what to do


def test_the_reference_checks_run_and_tell_random_weights_from_right_ones(tmp_path):
    from PIL import Image

    Image.radial_gradient("L").convert("RGB").save(tmp_path / "photo.png")
    config = vqgan.VQGANConfig.from_taming(standins.TINY_CONFIG)
    assert (
        reference_values.psnr(vqgan.build(config, standins.tiny_vqgan()), tmp_path / "photo.png", side=32)
        < reference_values.MIN_PSNR
    )

    model = openai_clip.build(standins.tiny_clip().state_dict())
    assert sum(reference_values.clip_probabilities(model, tmp_path / "photo.png")) == pytest.approx(1)
    assert sum(reference_values.CLIP_PROBABILITIES) == pytest.approx(1)
