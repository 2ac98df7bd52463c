"""Every published model has its entry, and every name leads to one or to the nearest ones."""

import re

import pytest

from tests import standins
from vqclip_nb import Settings
from vqclip_nb.cli import main
from vqclip_nb.cli.models import remove_model
from vqclip_nb.errors import PaintWarning
from vqclip_nb.models import UnknownModel, entries, info

VQGANS = [
    *("imagenet_f16_16384", "imagenet_f16_1024", "openimages_f8_8192", "wikiart_1024", "wikiart_16384", "sflckr"),
    *("faceshq", "coco", "ade20k", "ffhq", "celebahq"),
]
CLIPS = ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_catalog_holds_every_published_model():
    assert {entry.name for entry in entries("vqgan")} == {"demo", *VQGANS}
    assert {entry.name for entry in entries("clip")} == {"demo", "demo-things", *CLIPS}
    assert {entry.name for entry in entries("biggan")} == {"128", "256", "512"}


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.full_name)
def test_an_entry_says_all_that_is_known(entry):
    assert entry.good_at
    assert entry.licence
    assert entry.packaged or entry.sources
    for source in entry.sources:
        assert source.addresses
        assert all(address.startswith("https://") for address in source.addresses)
        assert source.size is None or source.size > 1_000_000
        assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)
    assert entry.alive == (entry.name not in ("ade20k", "ffhq", "celebahq"))


def test_openais_addresses_carry_their_own_hash():
    for entry in entries("clip"):
        for source in entry.sources[:1]:
            assert all(source.sha256 in address for address in source.addresses)
        assert entry.packaged or entry.sources[1].file == "open_clip_model.safetensors"


@pytest.mark.parametrize(
    ("name", "kind", "full"),
    [
        ("demo", None, "vqgan/demo"),
        ("demo", "clip", "clip/demo"),
        ("vqgan/demo", None, "vqgan/demo"),
        ("ViT-B/32", None, "clip/ViT-B/32"),
        ("vqgan/gumbel_f8_8192", None, "vqgan/openimages_f8_8192"),
        ("biggan-deep-256", None, "biggan/256"),
    ],
)
def test_a_name_leads_to_its_entry(name, kind, full):
    assert info(name, kind).full_name == full


def test_an_unknown_name_is_one_line_with_the_closest_ones():
    with pytest.raises(UnknownModel, match=r"no clip model 'vit-b32'; the closest are ViT-B/32") as wrong:
        info("vit-b32", "clip")
    assert isinstance(wrong.value, ValueError)
    assert "\n" not in str(wrong.value)


def test_a_model_of_ones_own_is_added_painted_with_checked_and_removed(tmp_path, capsys, home):
    weights, config = tmp_path / "mine.ckpt", tmp_path / "mine.yaml"
    standins.save_lightning(weights, standins.tiny_vqgan())
    config.write_text(f"model: {standins.TINY_CONFIG!r}".replace("False", "false"))
    assert main(["models", "add", "mine", "--config", str(config), "--weights", str(weights)]) == 0
    assert "vqgan/mine is ready: vqclip paint PROMPT --canvas vqgan/mine" in capsys.readouterr().out

    assert main(["models"]) == 0
    assert re.search(r"\* mine .*your own", capsys.readouterr().out)
    assert main(["models", "check", "mine"]) == 0
    (home / "vqgan" / "mine" / "mine.ckpt").write_bytes(b"spoiled")
    assert main(["models", "check", "mine"]) == 2
    assert "models remove vqgan/mine" in capsys.readouterr().err

    assert main(["models", "add", "mine", "--config", str(config), "--weights", str(weights)]) == 2
    assert "'mine' is taken" in capsys.readouterr().err
    assert main(["models", "remove", "mine"]) == 0
    assert not (home / "vqgan" / "mine").exists()


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        ("model: {target: x, params: {}}", True, "params.ddconfig"),
        ("- a list", True, "must be a YAML table"),
        (None, True, "there is no file"),
        (f"model: {standins.TINY_CONFIG!r}".replace("False", "false"), False, "there is no file"),
        ("model:", True, "whose params are a table, got {'model': None}"),
        ("params: 3", True, "whose params are a table, got {'params': 3}"),
        (
            f"model: {standins.TINY_CONFIG!r}".replace("'z_channels'", "'z'"),
            "whole",
            "config must have ddconfig.z_channels, a whole number from 1 to 65,536",
        ),
    ],
)
def test_a_wrong_model_of_ones_own_leaves_nothing_behind(tmp_path, capsys, home, config, weights, message):
    path = tmp_path / "mine.yaml"
    if config:
        path.write_text(config)
    if weights == "whole":
        standins.save_lightning(tmp_path / "mine.ckpt", standins.tiny_vqgan())
    elif weights:
        (tmp_path / "mine.ckpt").write_bytes(b"some")
    assert main(["models", "add", "mine", "--config", str(path), "--weights", str(tmp_path / "mine.ckpt")]) == 2
    assert message in capsys.readouterr().err
    assert not (home / "vqgan" / "mine").exists()


def test_a_damaged_entry_is_named_and_hides_no_other(home):
    (home / "vqgan" / "mine").mkdir(parents=True)
    (home / "vqgan" / "mine" / "added.json").write_bytes(b"")
    with pytest.warns(PaintWarning, match=r"mine/added.json is damaged"):
        assert info("demo", "vqgan").packaged


def test_the_packaged_pair_cannot_be_removed():
    with pytest.raises(ValueError, match="part of the package"):
        remove_model(info("vqgan/demo"))


def test_a_name_is_known_in_any_case():
    assert info("vit-b/32").name == "ViT-B/32"
    assert info("VQGAN/ImageNet_f16_16384").name == "imagenet_f16_16384"
    assert Settings(canvas="VQGAN/demo").canvas == "vqgan/demo"
