"""Published files load right, run nothing, and leave a small copy behind."""

import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch
from taming.modules.diffusionmodules.model import Decoder, Encoder

from tests import standins
from vqclip_nb import models
from vqclip_nb.models import archives, catalog, checkpoints, load, openai_clip, vqgan

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VQCLIP_OFFLINE", raising=False)


def plain(state: dict, image: torch.Tensor) -> torch.Tensor:
    """Encode and decode with taming's modules and nothing of this package."""

    def part(module, name):
        module.load_state_dict({k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")})
        return module.eval()

    features = part(Encoder(**standins.TINY_DDCONFIG), "encoder")(image)
    z = part(torch.nn.Conv2d(16, 8, 1), "quant_conv")(features)
    if "quantize.proj.weight" in state:
        logits = part(torch.nn.Conv2d(8, 32, 1), "quantize.proj")(z)
        z = state["quantize.embed.weight"][logits.argmax(1)].permute(0, 3, 1, 2)
    return part(Decoder(**standins.TINY_DDCONFIG), "decoder")(part(torch.nn.Conv2d(8, 16, 1), "post_quant_conv")(z))


def add(path: Path, name: str = "mine") -> catalog.Entry:
    return standins.entered(name, str(path))


@FORMATS
@pytest.mark.parametrize("kind", ["VQModel", "GumbelVQ", "Net2Net"])
@torch.no_grad()
def test_every_kind_of_checkpoint_becomes_one_vqgan(tmp_path, kind, zipped):
    state = standins.tiny_vqgan(gumbel=kind == "GumbelVQ")
    written = {f"first_stage_model.{k}": v for k, v in state.items()} if kind == "Net2Net" else dict(state)
    written["loss.discriminator.main.0.weight"] = written["transformer.head.weight"] = torch.zeros(3)
    standins.save_lightning(tmp_path / "last.ckpt", written, zipped=zipped)
    entry, image = add(tmp_path / "last.ckpt"), torch.rand(2, 3, 32, 32) * 2 - 1

    for model in (models.load_vqgan("mine"), models.load_vqgan("vqgan/mine")):  # the original, then the stripped copy
        torch.testing.assert_close(model.decode(model.encode(image)), plain(state, image), rtol=0, atol=0)
        assert model.codebook.shape == (32, 8)
        assert model.factor == 2
        assert model.unexpected == 2
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert not model.training
    assert entry.stripped.stat().st_size < (tmp_path / "last.ckpt").stat().st_size / 2


def test_an_own_model_is_stripped_anew_when_its_file_changes(tmp_path):
    standins.save_lightning(tmp_path / "last.ckpt", standins.tiny_vqgan())
    entry = add(tmp_path / "last.ckpt")
    before = models.load_vqgan("mine").codebook.clone()
    standins.save_lightning(entry.folder / "last.ckpt", standins.tiny_vqgan())
    os.utime(entry.folder / "last.ckpt", ns=(2**62, 2**62))
    assert not torch.equal(models.load_vqgan("mine").codebook, before)


def test_a_missing_tensor_is_an_error_that_names_it(tmp_path):
    state = standins.tiny_vqgan()
    del state["decoder.conv_out.bias"]
    standins.save_lightning(tmp_path / "last.ckpt", state)
    add(tmp_path / "last.ckpt")
    with pytest.raises(models.BrokenWeights, match=r"vqgan/mine .* missing .* decoder.conv_out.bias"):
        models.load_vqgan("mine")


def test_weights_of_another_size_are_an_error_with_both_sizes(tmp_path):
    state = standins.tiny_vqgan() | {"quantize.embedding.weight": torch.zeros(16, 8)}
    with pytest.raises(models.BrokenWeights, match="holds 16 codes where its config says 32"):
        vqgan.build(vqgan.VQGANConfig.from_taming(standins.TINY_CONFIG), state)


class Bomb:
    """What a malicious pickle holds: unpickled the ordinary way it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@FORMATS
@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "in an extra key"])
def test_a_malicious_pickle_runs_nothing_and_is_named(tmp_path, zipped, hidden):
    bomb, path = Bomb(tmp_path / "ran"), tmp_path / "last.ckpt"
    if hidden:
        standins.save_lightning(path, standins.tiny_vqgan(), zipped=zipped, extra=bomb)
    else:
        torch.save(bomb, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(models.BrokenWeights, match=r"asks to run (posix|nt|os)\.system"):
        checkpoints.read_weights(path)
    assert not (tmp_path / "ran").exists()


def test_a_malicious_torchscript_archive_runs_nothing_and_is_named(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
        archive.writestr("model/constants.pkl", pickle.dumps(()))
    with pytest.raises(models.BrokenWeights, match=r"asks to run (posix|nt)\.system"):
        checkpoints.read_weights(path, trusted_sha256="of another file")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "is damaged"),
        (lambda whole: b"\n<!DOCTYPE html><p>Link does not exist.", "is a web page"),
        (lambda whole: b"", "is damaged"),
        (lambda whole: b"GIF89a" + whole, "is not a file of weights|is damaged"),
    ],
    ids=["truncated", "web page", "empty", "something else"],
)
@FORMATS
def test_a_wrong_file_is_one_line(tmp_path, spoil, message, zipped):
    path = tmp_path / "last.ckpt"
    standins.save_lightning(path, standins.tiny_vqgan(), zipped=zipped)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(models.BrokenWeights, match=message) as wrong:
        checkpoints.read_weights(path)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("resnet", [False, True], ids=["ViT", "ResNet"])
@torch.no_grad()
def test_a_torchscript_clip_is_read_without_running_it(tmp_path, resnet, monkeypatch):
    clip = standins.tiny_clip(resnet=resnet)
    standins.save_torchscript(tmp_path / "clip.pt", clip)
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("the archive was run"))

    read = openai_clip.build(checkpoints.read_weights(tmp_path / "clip.pt").tensors)
    image = torch.rand(2, 3, read.visual.input_resolution, read.visual.input_resolution)
    text = torch.tensor([[49406, 320, 49407] + [0] * 13])
    same = {key: value.half().float() for key, value in clip.state_dict().items() if value.is_floating_point()}
    clip.load_state_dict(same, strict=False)
    torch.testing.assert_close(read.encode_image(image), clip.encode_image(image), rtol=0, atol=1e-6)
    torch.testing.assert_close(read.encode_text(text), clip.encode_text(text), rtol=0, atol=1e-6)
    assert read.known_tokens is None


def test_a_torchscript_archive_that_must_be_run_is_run_only_by_its_published_hash(tmp_path, monkeypatch):
    import pooch

    path = tmp_path / "clip.pt"
    standins.save_torchscript(path, standins.tiny_clip())
    monkeypatch.delitem(archives._BUILDERS, "torch._utils._rebuild_tensor_v2")  # unreadable, as far as we know
    with pytest.raises(models.BrokenWeights):
        checkpoints.read_weights(path, trusted_sha256="0" * 64)
    assert "visual.proj" in checkpoints.read_weights(path, trusted_sha256=pooch.file_hash(str(path))).tensors


@torch.no_grad()
def test_a_compact_clip_is_the_same_for_the_tokens_it_knows():
    clip = standins.tiny_clip()
    ids, compact = torch.tensor([320, 49406, 49407]), {k: v.half() for k, v in clip.state_dict().items()}
    compact |= {"token_ids": ids.int(), "token_embedding.weight": compact["token_embedding.weight"][ids]}
    built, text = openai_clip.build(compact), torch.tensor([[49406, 320, 49407] + [0] * 13])
    assert built.known_tokens == {320, 49406, 49407}
    assert built.token_embedding.weight.shape == (49408, 64)
    assert torch.cosine_similarity(built.encode_text(text), clip.encode_text(text)).item() > 0.999


def test_loading_draws_no_random_numbers():
    """Chance belongs to the pictures' seeds; a model that is read needs none, and drawing it takes seconds."""
    clips = [standins.tiny_clip(resnet=resnet).state_dict() for resnet in (False, True)]
    states = [standins.tiny_vqgan(gumbel=gumbel) for gumbel in (False, True)]
    before = torch.random.get_rng_state()
    for state in clips:
        openai_clip.build(state)
    for state in states:
        vqgan.build(vqgan.VQGANConfig.from_taming(standins.TINY_CONFIG), state)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_other_peoples_imports_stay_whole():
    """Loading takes nothing that people's environments lack, and `import clip` is still openai-clip's package."""
    script = """
        import sys, types
        from vqclip_nb.models import tokenizer, openai_clip, vqgan
        import taming.modules.diffusionmodules.model
        tokenizer(), openai_clip.part("model")
        for name in ("clip", "pkg_resources", "torchvision", "pytorch_lightning", "lightning"):
            assert name not in sys.modules, name

        import packaging  # what openai-clip's own __init__ needs and this environment may lack
        sys.modules["pkg_resources"] = types.SimpleNamespace(packaging=packaging)
        names = ("Compose", "Resize", "CenterCrop", "ToTensor", "Normalize", "InterpolationMode")
        transforms = types.ModuleType("torchvision.transforms")
        for name in names: setattr(transforms, name, types.SimpleNamespace(BICUBIC=3))
        sys.modules |= {"torchvision": types.ModuleType("torchvision"), "torchvision.transforms": transforms}
        import packaging.version, clip
        assert clip.__file__.endswith("__init__.py") and "ViT-B/32" in clip.available_models()
        assert clip.tokenize("a red house").shape == (1, 77)
        assert sys.modules["clip.model"].__name__ == "clip.model"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_first_load_needs_the_memory_of_what_it_keeps(tmp_path):
    """The optimizer's share of a zip file is mapped and never read: measured in a process of its own."""
    from benchmarks import loading

    state = standins.tiny_vqgan() | {"loss.big": torch.randn(8_000_000)}  # 32 MB, and Adam's 64
    standins.save_lightning(tmp_path / "last.ckpt", state)
    entry = add(tmp_path / "last.ckpt")
    models.fetch(entry)
    assert loading.measure(entry.name, "vqgan")["peak_mb"] < 40


def test_a_read_only_home_still_loads(tmp_path, monkeypatch):
    standins.save_lightning(tmp_path / "last.ckpt", standins.tiny_vqgan())
    entry = add(tmp_path / "last.ckpt")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(load, "write_safetensors", full)
    assert models.load_vqgan("mine").unexpected == 0
    assert not entry.stripped.exists()


def test_the_catalogs_configs_fit_the_published_keys():
    """The catalog's shapes, against the complete lists of keys of two published files."""
    for name, keys in {
        "imagenet_f16_16384": "keys_f16_imagenet_16384.txt",
        "openimages_f8_8192": "keys_f8_gumbel_8192.txt",
    }.items():
        listed = standins.listed(Path(__file__).parent / "data" / keys, device="meta")
        state = {key: value for key, value in listed.items() if vqgan.needed(key)}
        config = vqgan.VQGANConfig.from_taming(models.info(name).config)
        assert vqgan.build(config, state).unexpected == 0
