"""Files that people saved themselves are read, whatever stands beside the weights, and nothing in them is run."""

import argparse
import datetime
import os
import pathlib
import pickle
import random
import re
import shlex
import subprocess
import sys
import types
import zipfile

import numpy as np
import pytest
import torch

from tests import standins
from vqclip_nb.models import BrokenWeights, checkpoints, vqgan

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
WEIGHTS = {"encoder.a": torch.arange(6.0).view(2, 3), "quantize.embedding.weight": torch.ones(4, 2).T}


def read(path):
    return checkpoints.read_weights(path, marks=vqgan.MARKS, needed=vqgan.needed)


def assert_read(path, dropped=0):
    found = read(path)
    assert found.tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(found.tensors[key], WEIGHTS[key]) for key in WEIGHTS)
    assert found.dropped == dropped


@pytest.fixture
def foreign(monkeypatch):
    """Classes as Lightning and a person's own script have them; forgotten before a file is read."""
    module = types.ModuleType("train")
    exec(
        "import enum\n"
        "class AttributeDict(dict): pass\n"
        "class Callback:\n    def __init__(self): self.best = {'path': 'a', 'scores': [1.0]}\n"
        "class Kind(enum.Enum):\n    ONE = 1\n"
        "def make(): return Made()\n"
        "class Made:\n    def __reduce__(self): return make, ()\n",
        vars(module),
    )
    monkeypatch.setitem(sys.modules, "train", module)
    return module


def extras(module):
    return {
        "numpy": [np.float32(3), np.arange(6.0), np.array(["a"], object), np.random.get_state(), np.dtype("f4")],
        "generator": np.random.default_rng(0),
        "namespace": argparse.Namespace(lr=1, out=pathlib.Path("runs")),
        "paths": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:/b")],
        "lightning": module.AttributeDict(lr=1),
        "callbacks": {module.Callback: {"best": torch.tensor(0.5)}, "other": module.Callback()},
        "own": [module.Kind.ONE, module.make, module.Made()],
        "time": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "torch": [torch.device("cpu"), torch.float16, torch.Size([1]), torch.zeros(2, 2).to_sparse()],
        "sets": [{1, 2}, frozenset("a"), complex(1), b"bytes", 10**30, None, True],
    }


@FORMATS
@pytest.mark.parametrize("protocol", [2, 5])
def test_what_people_save_beside_the_weights_is_passed_over(tmp_path, foreign, monkeypatch, zipped, protocol):
    for name, extra in extras(foreign).items():
        whole = {"state_dict": WEIGHTS, name: extra}
        torch.save(whole, tmp_path / f"{name}.ckpt", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    monkeypatch.delitem(sys.modules, "train")
    for name in extras(foreign):
        assert_read(tmp_path / f"{name}.ckpt")
    assert "train" not in sys.modules


def test_omegaconfs_tables_are_passed_over(tmp_path):
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"lr": 1, "list": [1, {"a": "${lr}"}]})
    torch.save({"state_dict": WEIGHTS, "hyper_parameters": config}, tmp_path / "a.ckpt")
    assert_read(tmp_path / "a.ckpt")


PREFIXES = ("", "module.", "model.", "vqgan.", "first_stage_model.", "module.model.", "model.first_stage_model.")
PREFIXES += ("_orig_mod.module.", "my_own_name.")


@FORMATS
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "params", "generator", "checkpoint"])
def test_the_usual_wrappers_and_prefixes_are_found(tmp_path, zipped, wrapper):
    for prefix in PREFIXES:
        state = {prefix + key: value for key, value in WEIGHTS.items()} | {"loss.a": torch.zeros(1)}
        whole = {wrapper: state, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}} if wrapper else state
        torch.save(whole, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        assert_read(tmp_path / "a.pt", dropped=1)


def test_of_two_networks_the_right_one_is_read(tmp_path):
    other = {key: value + 1 for key, value in WEIGHTS.items()}
    for whole in (
        {"params": other, "params_ema": WEIGHTS},
        {"cond_stage_model": other, "first_stage_model": WEIGHTS},
        {"state_dict": {f"cond_stage_model.{k}": v for k, v in other.items()} | WEIGHTS},
    ):
        torch.save(whole, tmp_path / "a.pt")
        assert_read(tmp_path / "a.pt", dropped=2)


def test_a_safetensors_file_has_prefixes_too(tmp_path):
    state = {f"module.{key}": value.contiguous() for key, value in WEIGHTS.items()} | {"loss.a": torch.zeros(1)}
    checkpoints.write_safetensors(tmp_path / "a.safetensors", state, {})
    assert_read(tmp_path / "a.safetensors", dropped=1)


@FORMATS
def test_a_whole_network_that_was_pickled_is_read(tmp_path, zipped):
    network = torch.nn.ModuleDict({"encoder": torch.nn.Linear(3, 2), "quantize": torch.nn.ModuleDict()})
    network["quantize"]["embedding"] = torch.nn.Embedding(4, 2)
    torch.save(torch.nn.DataParallel(network), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read(tmp_path / "a.pt").tensors
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("key", ["model", "my net"])
def test_what_cannot_be_read_is_named_with_a_command_that_gets_the_tensors_out(tmp_path, key):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def make(): return Net()\n"
        "class Net:\n"
        "    def __reduce__(self): return make, ()\n"
        "    def state_dict(self):\n"
        "        return {'encoder.a': torch.arange(6.0).view(2, 3), 'quantize.embedding.weight': torch.ones(2, 4)}\n"
    )
    folder = tmp_path / "it's here"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    script = f"import sys, torch, mine; torch.save({{'step': 1, {key!r}: mine.Net()}}, sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, str(folder / "last.ckpt")], env=environment, check=True)
    with pytest.raises(
        BrokenWeights, match=rf"holds no named tensors; its key {key} is an object of mine\.make"
    ) as wrong:
        read(folder / "last.ckpt")
    assert "\n" not in str(wrong.value)
    (command,) = re.findall("`(.*)`", str(wrong.value))
    words = [sys.executable, *shlex.split(command)[1:]]
    subprocess.run(words, env=environment, cwd=tmp_path, check=True)
    assert_read(tmp_path / "weights.pt")


@FORMATS
@pytest.mark.parametrize("whole", [(3, WEIGHTS), [{"optimizer": {}}, {"state_dict": WEIGHTS}]], ids=["pair", "list"])
def test_weights_in_a_list_are_found(tmp_path, zipped, whole):
    torch.save(whole, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert_read(tmp_path / "a.pt")


def test_weights_of_numpy_are_got_out_by_the_command_that_is_named(tmp_path):
    torch.save({key: value.numpy() for key, value in WEIGHTS.items()}, tmp_path / "a.pt")
    with pytest.raises(BrokenWeights, match=r"its key encoder\.a is an object of numpy") as wrong:
        read(tmp_path / "a.pt")
    (command,) = re.findall("`(.*)`", str(wrong.value))
    subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=tmp_path, check=True)
    assert_read(tmp_path / "weights.pt")


def test_a_file_of_something_else_says_what_it_holds(tmp_path):
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "a.pt")
    with pytest.raises(BrokenWeights, match=r"a\.pt holds no named tensors, only epoch, loss$"):
        read(tmp_path / "a.pt")


def written(path, data, zipped):
    """A checkpoint whose pickle is these bytes."""
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", data)
        return path
    magic, protocol = 0x1950A86A20F9469CFC6C, 1001
    parts = (magic, protocol, {"little_endian": True})
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts) + data + pickle.dumps([], 2))
    return path


RUN = b"cos\nsystem\n"
ATTACKS = {
    "reduce": (RUN + b"(V%s\ntR.", r"asks to run os\.system, which weights never need; nothing was run"),
    "in a key": (b"}Vhyper\n}Vloss\n" + RUN + b"(V%s\ntRss.", r"its key hyper\.loss asks to run os\.system"),
    "stack global": (b"\x80\x04\x8c\x02os\x8c\x06system\x93(V%s\ntR.", r"asks to run os\.system"),
    "instance": (b"(V%s\nios\nsystem\n.", r"asks to run os\.system"),
    "object": (b"(" + RUN + b"V%s\no.", r"asks to run os\.system"),
    "eval": (b"c__builtin__\neval\n(V__import__('os').system('%s')\ntR.", "asks to run __builtin__.eval"),
    "method": (RUN + b"(cbuiltins\ngetattr\n(cos\npath\nVjoin\ntRV%s\ntR.", r"asks to run os\.system"),
    "a call of what a call gave": (
        b"cbuiltins\ngetattr\n(cos\nsystem\nVx\ntR(V%s\ntR.",
        "calls something that is no name",
    ),
    "new": (b"csubprocess\nPopen\n(V%s\nt\x81.", "holds no named tensors; it is an object of subprocess.Popen"),
    "build": (
        b"ctorch._utils\n_rebuild_tensor_v2\n}V__defaults__\n(V%s\ntsb.",
        "changes torch._utils._rebuild_tensor_v2",
    ),
    "build with a method": (b"ctrain\nA\n)\x81}V__setstate__\n" + RUN + b"sbV%s\nb.", "holds no named tensors"),
    "nested": (
        b"ctorch.storage\n_load_from_bytes\n(Vcos\\u000asystem\\u000a(V%s\\u000atR.\ntR.",
        "holds no named tensors",
    ),
    "import": (b"cevil\nthing\n.", "holds no named tensors"),
    "extension": (b"\x82\x01.", "EXT1"),
    "persistent": (b"V%s\nQ.", "damaged"),
    "a key that takes forever": (b"}" + b")" + b"2\x86" * 100 + b"Ns.", "a key that is no plain value"),
    "a long reach in the memo": (b"Nr\xff\xff\xff\xff.", "holds no named tensors"),
    "a long text": (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x00.", "cannot be read"),
    "a long list of bytes": (b"\x96\xff\xff\xff\xff\xff\x00\x00\x00.", "cannot be read"),
    "a deep tuple": (b")" + b"\x85" * 100_000 + b".", "holds no named tensors"),
    "itself": (b"}q\x00Va\nh\x00s.", "holds no named tensors"),
    "no end": (b"}" * 10, "has no end|cannot be read"),
    "nothing to take": (b"R.", "takes more than it holds"),
    "no mark": (b"t.", "cannot be read"),
}


@FORMATS
@pytest.mark.parametrize("name", ATTACKS)
def test_no_pickle_runs_or_imports_anything(tmp_path, monkeypatch, zipped, name):
    attack, message = ATTACKS[name]
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = written(tmp_path / "a.ckpt", attack.replace(b"%s", f"touch {tmp_path / 'ran'}".encode()), zipped)
    with pytest.raises(BrokenWeights, match=message) as wrong:
        read(path)
    assert "\n" not in str(wrong.value)
    assert not (tmp_path / "ran").exists()
    assert "evil" not in sys.modules


def test_hostile_names_are_shown_escaped(tmp_path):
    path = written(tmp_path / "a.ckpt", b"}V\x1b[2J\ncos\n\x1b]0;owned\x07\n(tRs.", zipped=True)
    with pytest.raises(BrokenWeights, match=r"its key \\u001b\[2J asks to run os\.\\u001b\]0;owned\\u0007"):
        read(path)


def test_a_lightning_callback_is_passed_over_as_the_published_files_have_it(tmp_path):
    standins.save_lightning(tmp_path / "last.ckpt", WEIGHTS, hyper_parameters=argparse.Namespace(lr=np.float64(1)))
    assert_read(tmp_path / "last.ckpt")


READ_ALL = """
import pathlib, resource, sys, torch
from vqclip_nb.models import BrokenWeights, checkpoints, vqgan

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        checkpoints.read_weights(pathlib.Path(path), marks=vqgan.MARKS, needed=vqgan.needed)
    except BrokenWeights as wrong:
        print(wrong)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts in kilobytes")
def test_files_that_claim_more_than_they_have_are_refused_in_little_memory(tmp_path):
    shared = torch.zeros(1_000_000)
    for zipped in (True, False):
        one = {"encoder.big": torch.zeros(1).expand(300_000_000)} | WEIGHTS
        torch.save({"state_dict": one}, tmp_path / f"{zipped}-one.ckpt", _use_new_zipfile_serialization=zipped)
        many = {f"encoder.{i}": shared for i in range(1000)} | WEIGHTS
        torch.save({"state_dict": many}, tmp_path / f"{zipped}-many.ckpt", _use_new_zipfile_serialization=zipped)
    torch.save(WEIGHTS, tmp_path / "good.ckpt")
    for bad in ("data.pkl", "data/0"):
        with (
            zipfile.ZipFile(tmp_path / "good.ckpt") as good,
            zipfile.ZipFile(tmp_path / f"{bad[-1]}.ckpt", "w") as bomb,
        ):
            for old in good.infolist():
                found = old.filename.endswith(bad)
                data = bytes(50_000_000) if found else good.read(old)
                bomb.writestr(old.filename, data, zipfile.ZIP_DEFLATED if found else zipfile.ZIP_STORED)
    names = ["True-one", "False-one", "True-many", "False-many", "l", "0"]
    words = [sys.executable, "-c", READ_ALL, *(str(tmp_path / f"{name}.ckpt") for name in names)]
    process = subprocess.run(words, capture_output=True, text=True, check=True)
    *message, peak = process.stdout.splitlines()
    expected = ["a tensor of 300,000,000 numbers has only 1 in the file"] * 2
    expected += [r"its tensors claim 4,000,000,\d+ bytes, and it has 4,\d+,\d+"] * 2
    expected += ["is compressed, which torch never does"] * 2
    assert len(message) == len(expected)
    assert all(re.search(pattern, line) for pattern, line in zip(expected, message, strict=True))
    assert float(peak) < 30


def test_a_tensor_that_is_not_needed_may_be_an_expanded_one(tmp_path):
    torch.save({**WEIGHTS, "loss.mask": torch.zeros(1).expand(300_000_000)}, tmp_path / "a.ckpt")
    assert_read(tmp_path / "a.ckpt", dropped=1)


@pytest.mark.filterwarnings("ignore:TypedStorage")
@pytest.mark.parametrize(
    ("size", "stride", "offset", "message"),
    [
        ((2,), (1,), 10**12, "reaches out of its storage"),
        ((2, 3), (10**15, 1), 0, "reaches out of its storage"),
        ((-1,), (1,), 0, "shape is none"),
        ((2**40, 2**40), (0, 0), 0, "has only"),
        (("a",), (1,), 0, "shape is none"),
    ],
)
def test_a_tensor_reads_nothing_beyond_its_storage(tmp_path, size, stride, offset, message):
    class Lie:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, {})

    storage = torch.storage.TypedStorage(wrap_storage=torch.zeros(6).untyped_storage(), dtype=torch.float32)
    torch.save({"state_dict": {**WEIGHTS, "encoder.lie": Lie()}}, tmp_path / "a.ckpt")
    with pytest.raises(BrokenWeights, match=message):
        read(tmp_path / "a.ckpt")


def test_a_file_cut_anywhere_or_with_a_byte_changed_is_one_line_or_read(tmp_path):
    for zipped in (True, False):
        torch.save(WEIGHTS, tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
        whole, chance = (tmp_path / "a.ckpt").read_bytes(), random.Random(0)
        for trial in range(300):
            data = bytearray(whole)
            if trial % 2:
                data[chance.randrange(len(data))] = chance.randrange(256)
            else:
                del data[chance.randrange(len(data)) :]
            (tmp_path / "b.ckpt").write_bytes(data)
            try:
                read(tmp_path / "b.ckpt")
            except BrokenWeights as wrong:
                assert "\n" not in str(wrong)  # noqa: PT017
