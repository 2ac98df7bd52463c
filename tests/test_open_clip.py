"""open_clip's networks with weights of one's own, from the hub, and in an environment that does not fit."""

import hashlib
import logging
import os
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from vqclip_nb import cli, embedded, models, perceptors
from vqclip_nb.models import BrokenWeights, CannotFetch, UnknownModel
from vqclip_nb.models.open_clip import load_open_clip, local_sha256, parse, torchvision_remedy

STATE = {"logit_scale": torch.tensor(2.0), "visual.a": torch.arange(4.0)}


class Network(torch.nn.Module):
    visual = SimpleNamespace(image_size=(8, 8), image_mean=(0.5, 0.5, 0.5), image_std=(0.25, 0.25, 0.25))

    def encode_image(self, batch):
        return batch.mean((2, 3))

    def encode_text(self, tokens):
        return tokens[:, :3].float()


@pytest.fixture(autouse=True)
def extra(monkeypatch, tmp_path):
    """The extra, which notes what it is asked to make, and reads the weights as it does."""
    requests = []

    def create_model(model, pretrained, cache_dir, require_pretrained):
        assert require_pretrained, "else what cannot be fetched is random"
        logging.getLogger("huggingface_hub").error("retrying")
        read = safetensors.torch.load_file(pretrained) if pretrained and os.path.isfile(pretrained) else None
        requests.append((model, pretrained, read))
        return Network()

    package = SimpleNamespace(
        asked=requests,
        list_pretrained=lambda: [("ViT-S", "laion")],
        list_pretrained_tags_by_model=lambda model: ["laion"] if model == "ViT-S" else [],
        list_models=lambda: ["ViT-S", "ViT-S-quickgelu", "RN50"],
        create_model=create_model,
        get_tokenizer=lambda model: lambda texts: torch.tensor([[1, len(text), 3, 0] for text in texts]),
    )
    monkeypatch.setitem(sys.modules, "open_clip", package)
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    return package


@pytest.mark.parametrize(
    ("name", "model", "tag", "path"),
    [
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32", "laion2b_s34b_b79k", None),
        ("ViT-B-32//home/me/x.pt", "ViT-B-32", None, "/home/me/x.pt"),
        ("ViT-B-32/x.pt", "ViT-B-32", None, "x.pt"),
        ("ViT-B-32/./x", "ViT-B-32", None, "x"),
        (r"ViT-B-32/C:\x.pt", "ViT-B-32", None, r"C:\x.pt"),
        ("hf-hub:org/name", "hf-hub:org/name", None, None),
        ("/home/me/folder", "", None, "/home/me/folder"),
        ("local-dir:folder", "", None, "folder"),
        ("ViT-B-32", "ViT-B-32", "", None),
    ],
)
def test_a_name_says_where_the_weights_are(name, model, tag, path):
    assert parse(f"open_clip/{name}") == (model, tag, path and Path(path))


@pytest.mark.parametrize("file", ["tuned.pt", "tuned.safetensors"])
def test_a_file_of_ones_own_is_read_and_its_hash_stands_in_the_picture(tmp_path, extra, capsys, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    if file.endswith(".pt"):
        torch.save({"epoch": 1, "model": {f"module.{key}": value for key, value in STATE.items()}}, file)
    else:
        safetensors.torch.save_file(STATE, file)
    name = f"open_clip/ViT-S/{tmp_path / file}"
    words = ["paint", "red", "--perceptor", name, "--canvas", "pixels", "--size", "16", "--steps", "1", "--cutn", "1"]
    assert cli.main([*words, "--device", "cpu", "--quiet"]) == 0
    ((model, _, read),) = extra.asked
    assert model == "ViT-S"
    assert {key: value.tolist() for key, value in read.items()} == {k: v.tolist() for k, v in STATE.items()}
    assert not [path for path in (tmp_path / "home").glob("*") if path.name != "open_clip"], "the copy is gone"
    sha256 = hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    assert embedded.read(Path(capsys.readouterr().out.strip()))["models"] == {name: sha256}


def test_a_name_of_the_hub_is_handed_on_and_its_client_is_quiet(extra, caplog):
    load_open_clip("open_clip/hf-hub:org/name")
    assert extra.asked == [("hf-hub:org/name", None, None)]
    assert not caplog.records
    logging.getLogger("huggingface_hub").warning("others are heard")
    assert len(caplog.records) == 1


def test_copies_that_a_killed_process_left_are_cleared(tmp_path):
    for name, age in ((".reading-old", 4000), (".reading-new", 0)):
        (tmp_path / "home" / name).mkdir(parents=True)
        os.utime(tmp_path / "home" / name, (time.time() - age,) * 2)
    torch.save(STATE, tmp_path / "tuned.pt")
    load_open_clip(f"open_clip/ViT-S/{tmp_path}/tuned.pt")
    assert {path.name for path in (tmp_path / "home").iterdir()} == {".reading-new"}


def test_a_folder_is_handed_on_and_its_hash_is_of_config_and_weights(tmp_path, extra):
    folder, name = tmp_path / "folder", f"open_clip/{tmp_path}/folder"
    folder.mkdir()
    with pytest.raises(UnknownModel, match=r"has no open_clip_config.json; name its file of weights and their network"):
        load_open_clip(name)
    (folder / "open_clip_config.json").write_text("{}")
    with pytest.raises(CannotFetch, match="no weights"):
        load_open_clip(name)
    safetensors.torch.save_file(STATE, folder / "open_clip_model.safetensors")
    [perceptor] = perceptors.load(name)
    assert perceptor.name == name
    assert extra.asked == [(f"local-dir:{folder}", None, None)]
    before = local_sha256(name)
    (folder / "open_clip_config.json").write_text("{ }")
    assert before
    assert local_sha256(name) != before


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("ViT-S/{}/tunde.pt", CannotFetch, "there is no file '.*tunde.pt'; did you mean 'tuned.pt'?"),
        ("ViT-Z/{}/tuned.pt", UnknownModel, "there is no open_clip network 'ViT-Z'; the closest are ViT-S"),
        ("{}/tuned.pt", UnknownModel, "say which network is in it: open_clip/ViT-B-32/"),
        ("{}/gone", CannotFetch, "there is no folder"),
        ("ViT-S/{}/evil.pt", BrokenWeights, r"evil.pt: it asks to run (posix|nt)\.system"),
        ("ViT-S", UnknownModel, "the closest of ViT-S are laion"),
    ],
)
def test_what_is_not_there_or_not_right_is_one_line(tmp_path, name, wrong, message):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save(STATE, tmp_path / "tuned.pt")
    torch.save(Bomb(), tmp_path / "evil.pt")
    with pytest.raises(wrong, match=message) as caught:
        load_open_clip(f"open_clip/{name.format(tmp_path)}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("Error(s) in state_dict for CLIP:\n\tMissing key(s): a\n\tmore"),
            r"for CLIP: Missing key\(s\): a\)$",
        ),
        (AssertionError("width changed"), r"do not fit \(width changed\)$"),
    ],
)
def test_weights_of_another_network_are_one_line(tmp_path, extra, error, message):
    def create_model(*_, **__):
        raise error

    extra.create_model = create_model
    torch.save(STATE, tmp_path / "tuned.pt")
    with pytest.raises(BrokenWeights, match=message):
        load_open_clip(f"open_clip/ViT-S/{tmp_path}/tuned.pt")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("RuntimeError('operator torchvision::nms does not exist')", "needs a torchvision that fits torch"),
        ("ModuleNotFoundError(\"No module named 'torchvision'\", name='torchvision')", "needs a torchvision that fits"),
        ("ImportError('x/torchvision/_C.so: undefined symbol: _ZN3c10')", "needs a torchvision that fits torch"),
        ("ValueError('something else')", "cannot be imported .something else."),
    ],
)
def test_an_environment_that_does_not_fit_is_one_line_with_the_pair(tmp_path, monkeypatch, capsys, error, message):
    monkeypatch.delitem(sys.modules, "open_clip")
    (tmp_path / "open_clip").mkdir()
    (tmp_path / "open_clip" / "__init__.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.main(["paint", "red", "--perceptor", "open_clip/ViT-S/laion", "--canvas", "pixels"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert ("`pip install torch==" in line) == ("torchvision" in error)


@pytest.mark.parametrize(
    ("torch_here", "pair", "build"),
    [("2.14.1+cu130", "0.29.1+cu130", "cu130"), ("2.6.0", "0.21.0", ""), ("2.11.0+cpu", "0.26.0+cpu", "cpu")],
)
def test_the_torchvision_of_a_torch_is_named_in_the_same_build(monkeypatch, torch_here, pair, build):
    monkeypatch.setattr(torch, "__version__", torch_here)
    source = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    assert torchvision_remedy() == f"pip install torch=={torch_here} torchvision=={pair}{source}"


def test_the_pair_is_the_one_that_is_installed_here():
    from importlib import metadata

    assert models.OPEN_CLIP == "open_clip/"
    try:
        here = metadata.version("torchvision").partition("+")[0]
    except metadata.PackageNotFoundError:
        pytest.skip("no torchvision here")
    assert f"torchvision=={here}" in torchvision_remedy()
