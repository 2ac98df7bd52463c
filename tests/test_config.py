"""A VQGAN's config is checked field by field, and against the weights, before anything is built."""

import copy
import time

import pytest
import torch

from tests import standins
from vqclip_nb.models import BrokenWeights, entries, vqgan
from vqclip_nb.models.vqgan_config import VQGANConfig, read_yaml


def changed(**fields):
    config = copy.deepcopy(standins.TINY_CONFIG)
    for name, value in fields.items():
        table = config["params"] if name in ("embed_dim", "n_embed", "patch_size", "ddconfig") else None
        (config["params"]["ddconfig"] if table is None else table)[name] = value
    return config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embed_dim", None, "config's embed_dim must be a whole number from 1 to 65,536, got None"),
        ("embed_dim", True, "embed_dim must be a whole number .*, got True"),
        ("n_embed", 0, "n_embed must be a whole number from 1 .*, got 0"),
        ("patch_size", "2", "patch_size must be a whole number .*, got '2'"),
        ("ddconfig", [1], r"ddconfig must be a table, got \[1\]"),
        ("ch", 16, "ddconfig.ch must be a whole number from 32 to 4,096 that 32 divides, got 16"),
        ("ch", 1_000_000, "ddconfig.ch must be .*, got 1000000"),
        ("ch", 32.0, r"ddconfig.ch must be .*, got 32\.0"),
        ("ch_mult", [], r"ddconfig.ch_mult must be a list of 1 to 12 numbers, each a whole number .*, got \[\]"),
        ("ch_mult", [1] * 10**6, r"ddconfig.ch_mult must be .*, got \[1, 1, 1, 1, 1, 1, \.\.\.\]"),
        ("ch_mult", [1, 10**9], "ddconfig.ch_mult must be"),
        ("ch_mult", "12", "ddconfig.ch_mult must be"),
        ("num_res_blocks", 10_000_000, "ddconfig.num_res_blocks must be .*, got 10000000"),
        ("resolution", 10**400, "ddconfig.resolution must be a whole number from 1 to 65,536, got 1000"),
        ("attn_resolutions", None, "ddconfig.attn_resolutions must be"),
        ("z_channels", -1, "ddconfig.z_channels must be"),
        ("in_channels", 1, "ddconfig.in_channels must be 3, as pictures have, got 1"),
        ("double_z", "no", "ddconfig.double_z must be true or false, got 'no'"),
        ("dropout", float("nan"), "ddconfig.dropout must be a number from 0 to 1, got nan"),
    ],
)
def test_a_field_is_named_with_its_value_and_what_is_allowed(name, value, message):
    began = time.process_time()
    with pytest.raises(ValueError, match=message) as wrong:
        VQGANConfig.from_taming(changed(**{name: value}))
    assert len(str(wrong.value)) < 400
    assert "\n" not in str(wrong.value)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_res_blocks", 32, "its config says ddconfig.num_res_blocks 32 where the weights have 1"),
        ("ch", 4096, "its config says ddconfig.ch 4096 where the weights have 32"),
        ("ch_mult", [1] * 12, r"ddconfig.ch_mult \[1, 1, .* where the weights have \[1, 2\]"),
        ("z_channels", 65536, "ddconfig.z_channels 65536 where the weights have 16"),
        ("embed_dim", 65536, r"its codebook is \(32, 8\) where its config asks \(codes, 65536\)"),
        ("patch_size", 64, "in_channels must be 12288"),
    ],
)
def test_what_the_weights_do_not_have_is_not_built(monkeypatch, name, value, message):
    state = standins.tiny_vqgan()
    monkeypatch.setattr(vqgan, "VQGAN", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(ValueError, match=message):
        vqgan.build(VQGANConfig.from_taming(changed(**{name: value})), state)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("encoder.conv_in.weight", (32,), "convolution's belongs"),
        ("encoder.conv_in.weight", (4096, 3, 0, 0), "convolution's belongs"),
        ("encoder.down.1.block.0.conv1.weight", (64, 1, 3, 3), "takes 1 channels where 32 come"),
        ("quantize.embedding.weight", (32,), r"its codebook is \(32,\)"),
        ("encoder.down.0.block.7.conv1.weight", (32, 32, 3, 3), "num_res_blocks 1 where the weights have 2"),
        ("encoder.conv_in.weight", None, "missing from the file, first encoder.conv_in.weight"),
    ],
)
def test_weights_of_odd_shapes_are_named(key, shape, message):
    state = standins.tiny_vqgan()
    state.pop(key, None)
    if shape:
        state[key] = torch.zeros(shape)
    with pytest.raises(BrokenWeights, match=message):
        vqgan.build(VQGANConfig.from_taming(standins.TINY_CONFIG), state)


def test_every_published_config_is_allowed():
    configs = [entry.config for entry in entries("vqgan") if entry.config]
    assert len(configs) > 9
    for config in configs:
        read = VQGANConfig.from_taming(config)
        assert VQGANConfig.from_taming(read.to_taming()) == read


LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [*{chr(97 + i)}, *{chr(97 + i)}]}}\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "has more than 5,000 values; a VQGAN's has about thirty"),
        (MERGES, "has more than 5,000 values"),
        ("a: &a [*a]", "has more than 5,000 values"),
        ("&a {b: *a}", "has more than 5,000 values"),
        ("[" * 19_000, "nested more than 30 deep"),
        ("a: 1\n" * 30_000, "has more than 20,000 bytes"),
        ("a: " + "9" * 10_000, "cannot be read as YAML"),
        ("a: 2020-99-99", "cannot be read as YAML"),
        ("? {a: 1}\n: 1", "cannot be read as YAML"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("", "must be a YAML table, got an empty file"),
        ("a: 1\nb: [1,\n", "cannot be read as YAML: line 3: expected the node content"),
        ("\x00", "cannot be read as YAML"),
    ],
    ids=range(13),
)
def test_a_yaml_file_that_is_a_bomb_is_refused_at_once(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(ValueError, match=message) as wrong:
        read_yaml(tmp_path / "a.yaml")
    assert time.process_time() - began < 1
    assert "\n" not in str(wrong.value)


def test_a_few_aliases_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}}")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}}
