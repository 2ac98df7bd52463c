"""A model of one's own is entered when it is whole and has loaded; what goes wrong is said with what to do."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

from tests import standins
from tests.servers import mirror
from vqclip_nb import embedded, perceptors
from vqclip_nb.cli import main
from vqclip_nb.models import BrokenWeights, entries, info, load_clip, load_vqgan, user_models

ROOT = Path(__file__).parents[1]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VQCLIP_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"model": standins.TINY_CONFIG}))
    return tmp_path / "home"


@pytest.fixture
def weights(tmp_path):
    standins.save_lightning(tmp_path / "mine.ckpt", standins.tiny_vqgan())
    return tmp_path / "mine.ckpt"


def add(config="mine.yaml", weights="mine.ckpt"):
    return main(["models", "add", "mine", "--config", str(config), "--weights", str(weights)])


@pytest.mark.parametrize(
    ("config", "file", "message"),
    [
        ("mine.yaml", "mien.ckpt", "there is no file 'mien.ckpt'; did you mean 'mine.ckpt'?"),
        ("mine.yml", "mine.ckpt", "there is no file 'mine.yml'; did you mean 'mine.yaml'?"),
        ("mine.yaml", "gone/mine.ckpt", "there is no file 'gone/mine.ckpt', and no folder 'gone'"),
        ("mine.yaml", ".", "'.' is a folder; name the file in it"),
        ("mine.yaml", "pointer", "pointer is a Git LFS pointer in the place of the weights; run `git lfs pull`"),
        ("mine.yaml", "page", "page is a web page in the place of the weights; open its address in a browser"),
        ("pointer", "mine.ckpt", "config 'pointer' is a Git LFS pointer in the place of the file; run `git lfs pull`"),
        (
            "other.yaml",
            "mine.ckpt",
            "vqgan/mine was not added: its config says ddconfig.z_channels 8 where the weights",
        ),
        ("mine.yaml", "text", "vqgan/mine was not added: text is damaged, or not a file of weights"),
    ],
)
def test_a_failed_add_says_what_is_wrong_and_leaves_nothing(tmp_path, capsys, home, weights, config, file, message):
    (tmp_path / "pointer").write_text(POINTER)
    (tmp_path / "page").write_text("<!DOCTYPE html><p>Sign in")
    (tmp_path / "text").write_text("words " * 100)
    other = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    other["model"]["params"]["ddconfig"]["z_channels"] = 8
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    assert add(config, file) == 2
    errors = capsys.readouterr().err
    assert message in errors.splitlines()[-1]
    for wrong in ("models check", "try again later", "trying the next", "weights_only", "Traceback"):
        assert wrong not in errors
    assert not list(home.rglob("*mine*"))


def test_a_pointer_from_an_address_is_named(home, capsys):
    with mirror(b"") as server:
        assert add(weights=server.at("pointer")) == 2
    output = capsys.readouterr().err
    assert "sent a Git LFS pointer instead of the file. Open the address in a browser" in output
    assert "Try again later" not in output


def test_a_file_that_went_away_is_asked_back(home, weights, capsys):
    assert add() == 0
    for path in (home / "vqgan" / "mine").glob("*"):
        if path.name != "added.json":
            path.unlink()
    weights.rename("moved.ckpt")
    capsys.readouterr()
    assert main(["models", "get", "mine"]) == 2
    assert f"could not be fetched: {weights} is not there. Put it back there, or put the file at" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["added.json", "stripped.safetensors", "tmp.ckpt", ".lock"])
def test_a_file_may_be_called_what_it_likes(home, weights, name):
    weights.rename(name)
    assert add(weights=name) == 0
    assert load_vqgan("mine").factor == 2
    assert info("mine", "vqgan").sources[0].file == f"weights-{name}"


def test_an_entry_that_was_changed_by_hand_is_named(home, weights):
    assert add() == 0
    entry = home / "vqgan" / "mine" / "added.json"
    entry.write_text(entry.read_text().replace('"ch": 32', '"ch": 31'))
    with pytest.raises(BrokenWeights, match=r"^vqgan/mine cannot be loaded: config's ddconfig.ch must be .*, got 31;"):
        load_vqgan("mine")


def test_what_was_fetched_before_an_address_failed_is_gone_on_with(home, weights, capsys):
    with mirror(weights.read_bytes()) as server:
        assert add(weights=server.at("truncated")) == 2
        assert "(what was fetched is kept)" in capsys.readouterr().err
        assert "mine" not in {entry.name for entry in entries("vqgan")}
        assert list(home.glob("vqgan/mine/*.part"))
        assert add(weights=server.at("truncated")) == 2
        assert server.requests[-1][1].startswith("bytes=")
        assert main(["models"]) == 0
        assert not (home / "vqgan" / "mine").exists()


def test_a_name_whose_folder_is_anothers_is_refused(weights, capsys):
    with pytest.raises(ValueError, match="'ViT-B-32' is taken; a model of the list has it"):
        user_models.new_entry("clip", "ViT-B-32", str(weights))


def process(address):
    words = [sys.executable, "-m", "vqclip_nb", "models", "add", "mine", "--config", "mine.yaml", "--weights", address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def killed_when(home, address, ready):
    running = process(address)
    deadline = time.monotonic() + 60
    while not ready(home / "vqgan" / "mine") and time.monotonic() < deadline:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_add_enters_nothing_and_the_next_call_clears_it(home, weights, capsys):
    folder = home / "vqgan" / "mine"
    moments = {
        "while it is fetched": lambda folder: any(part.stat().st_size for part in folder.glob("*.part")),
        "while it is loaded": lambda folder: (folder / "paced").is_file(),
    }
    with mirror(weights.read_bytes()) as server:
        for moment, ready in moments.items():
            killed_when(home, server.at("paced"), ready)
            assert folder.is_dir(), moment
            assert "mine" not in {entry.name for entry in entries("vqgan")}, moment
            assert main(["models"]) == 0
            assert not folder.exists(), moment

        killed_when(home, server.at("paced"), moments["while it is fetched"])
        before = len(server.requests)
        assert add(weights=server.at("paced")) == 0
        assert server.requests[before][1].startswith("bytes="), "what was fetched is gone on with"
    assert {path.name for path in folder.iterdir()} <= {"added.json", "paced", "stripped.safetensors", ".lock"}
    assert info("mine", "vqgan").sha256


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_model_that_is_being_added_is_left_alone(home, weights, capsys):
    with mirror(weights.read_bytes()) as server:
        running = process(server.at("paced"))
        deadline = time.monotonic() + 60
        while not list(home.glob("vqgan/mine/*.part")) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert main(["models"]) == 0
        assert add() == 2
        assert "another process is adding vqgan/mine" in capsys.readouterr().err
        assert running.wait(60) == 0
    assert info("mine", "vqgan").on_disk


def clip_files(folder, clip):
    """A CLIP of one's own in each form that people have."""
    state = {key: value.half() for key, value in clip.state_dict().items()}
    torch.save(state, folder / "state.pt")
    torch.save({"epoch": 3, "model": {f"module.{key}": value for key, value in state.items()}}, folder / "trained.pt")
    standins.save_torchscript(folder / "script.pt", clip)
    safetensors.torch.save_file(state, folder / "clip.safetensors")
    torch.save(clip, folder / "whole.pt")
    return ("state.pt", "trained.pt", "script.pt", "clip.safetensors", "whole.pt")


@pytest.mark.parametrize("resnet", [False, True], ids=["ViT", "ResNet"])
@torch.no_grad()
def test_a_clip_of_ones_own_is_a_perceptor_in_every_form(tmp_path, capsys, resnet):
    clip = standins.tiny_clip(resnet=resnet)
    files = clip_files(tmp_path, clip)
    clip.load_state_dict({key: value.half().float() for key, value in clip.state_dict().items()})
    image = torch.rand(1, 3, clip.visual.input_resolution, clip.visual.input_resolution)
    for index, file in enumerate(files):
        assert main(["models", "add", f"mine{index}", "--clip", file]) == 0
        output = capsys.readouterr().out
        assert f"clip/mine{index} is ready: vqclip paint PROMPT --perceptor mine{index}" in output
        assert not load_clip(f"mine{index}").training
        (perceptor,) = perceptors.load(f"mine{index}")
        expected = clip.encode_image((image - perceptor.mean) / perceptor.std)
        got = perceptor.encode_image(image)
        assert torch.cosine_similarity(got, expected).item() > 0.9999


def test_a_picture_names_the_hash_of_ones_own_clip(tmp_path, capsys):
    clip_files(tmp_path, standins.tiny_clip())
    assert main(["models", "add", "mine", "--clip", "state.pt"]) == 0
    capsys.readouterr()
    words = ["paint", "red", "--canvas", "pixels", "--perceptor", "mine", "--size", "32", "--steps", "1", "--cutn", "1"]
    assert main([*words, "--quiet", "--device", "cpu"]) == 0
    picture = Path(capsys.readouterr().out.strip())
    sha256 = hashlib.sha256((tmp_path / "state.pt").read_bytes()).hexdigest()
    assert embedded.read(picture)["models"] == {"clip/mine": sha256}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual.proj": None}, "the file holds no visual.attnpool.positional_embedding; it is not a CLIP in OpenAI's"),
        ({"token_embedding.weight": (100, 64)}, r"token_embedding.weight is (100, 64) in the file where (49408, 64)"),
        ({"positional_embedding": (10**6, 0)}, "a context_length of 1000000, and 1 to 1,024 is allowed"),
        ({"visual.conv1.weight": (10**6, 3, 0, 0)}, "a vision_width of 1000000, and 1 to 8,192 is allowed"),
        ({"visual.conv1.weight": (8000, 1, 1, 1)}, "visual.conv1.weight is (8000, 1, 1, 1) in the file where"),
        ({"text_projection": (64, 8000)}, "visual.proj is (64, 32) in the file where (64, 8000) is asked"),
    ],
)
def test_a_clip_whose_shapes_do_not_fit_is_not_built(tmp_path, capsys, home, change, message):
    state = standins.tiny_clip().state_dict()
    for key, shape in change.items():
        state.pop(key)
        if shape:
            state[key] = torch.zeros(shape)
    torch.save(state, tmp_path / "clip.pt")
    assert main(["models", "add", "mine", "--clip", "clip.pt"]) == 2
    assert message in (errors := capsys.readouterr().err)
    assert "clip/mine was not added" in errors
    assert not list(home.rglob("*mine*"))


def test_a_clip_of_transformers_is_said_to_be_one(tmp_path, capsys):
    torch.save({"text_model.embeddings.token_embedding.weight": torch.zeros(9, 9)}, tmp_path / "clip.pt")
    assert main(["models", "add", "mine", "--clip", "clip.pt"]) == 2
    assert "the layout of Hugging Face's transformers" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--weights", "a"], ["--clip", "a", "--weights", "b"]])
def test_add_says_which_files_it_needs(words, capsys):
    assert main(["models", "add", "mine", *words]) == 2
    assert (
        "--config and --weights" in (output := capsys.readouterr().err) or "--config FILE and --weights FILE" in output
    )
