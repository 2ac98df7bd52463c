"""Checkpoints: tensors out of the files that people published, without running any code that is in them."""

from __future__ import annotations

import json
import mmap
import os
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqclip_nb.models.download import looks_like_html
from vqclip_nb.models.errors import BrokenWeights

# Lightning pickled these classes as dictionary keys; nothing is ever called on them.
FOREIGN = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
)
HALVES = (torch.float16, torch.bfloat16)


def read_weights(path: Path, *, trusted_sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint by their keys, on the CPU: safetensors, torch's zip or legacy pickle, or TorchScript.

    Mapped, not read, where the format can be; a `state_dict` inside is unwrapped. A TorchScript archive that cannot be
    read without running it is run only when its sha256 is `trusted_sha256`. Raises `BrokenWeights`.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if looks_like_html(head):
        raise BrokenWeights(f"{path.name} is a web page, not weights; remove it and fetch it again")
    if head[8:9] == b"{":
        return read_safetensors(path)
    if not head.startswith(b"PK"):
        return _read_pickle(path, mapped=False)
    if _is_torchscript(path):
        return _read_torchscript(path, trusted_sha256)
    return _read_pickle(path, mapped=True)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Map a safetensors file. Raises `BrokenWeights`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as wrong:
        raise BrokenWeights(f"{path.name} is not a whole safetensors file ({wrong})") from None


def read_note(path: Path, key: str) -> str | None:
    """One of the notes that `write_safetensors` put into a file's header."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(key)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors one at a time, to a temporary name that is moved when whole: the memory of one tensor is enough.

    Half precision is widened to float32, which is what networks are built in, so that it can be mapped.
    """
    dtypes = {key: torch.float32 if value.dtype in HALVES else value.dtype for key, value in tensors.items()}
    order = sorted(tensors, key=lambda key: -dtypes[key].itemsize)  # so that each begins aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **notes}}
    end = 0
    for key in order:
        begin, end = end, end + tensors[key].numel() * dtypes[key].itemsize
        name, shape = _safetensors_name(dtypes[key]), list(tensors[key].shape)
        header[key] = {"dtype": name, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)

    fresh = path.with_name(f"{path.name}.part")
    try:
        with fresh.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for key in order:
                flat = tensors[key].to(dtypes[key]).contiguous().reshape(-1)
                file.write(flat.view(torch.uint8).numpy().data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _safetensors_name(dtype: torch.dtype) -> str:
    """F32 for float32, I64 for int64, U8 for uint8, BOOL."""
    kind = "F" if dtype.is_floating_point else "I" if dtype.is_signed else "U"
    return "BOOL" if dtype == torch.bool else f"{kind}{8 * dtype.itemsize}"


def _read_pickle(path: Path, *, mapped: bool) -> dict[str, Tensor]:
    """A file of `torch.save`. Torch's restricted unpickler refuses every class but tensors' own and the stubs."""
    stubs: list[Any] = [_stub(name) for name in FOREIGN]
    try:
        with torch.serialization.safe_globals(stubs):
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as wrong:
        foreign = re.search(r"(?:GLOBAL|class|function|type) ([\w.]+\.[\w.]+)", str(wrong))
        if foreign:
            raise _refuse(path, foreign[1]) from None
        raise BrokenWeights(f"{path.name} is not a file of weights ({_line(wrong)})") from None
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as wrong:
        raise BrokenWeights(f"{path.name} is damaged ({_line(wrong)})") from None

    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        raise BrokenWeights(f"{path.name} holds no named tensors")
    return tensors


def _refuse(path: Path, name: str) -> BrokenWeights:
    return BrokenWeights(f"{path.name} asks to run {name}, which weights never need; nothing was run")


def _line(wrong: Exception) -> str:
    return (str(wrong).splitlines() or [type(wrong).__name__])[0]


def _stub(full_name: str) -> type:
    """An empty class that answers to a foreign one's name (torch looks its list up by name)."""
    module, _, name = full_name.rpartition(".")
    return type(name, (), {"__module__": module})


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        raise BrokenWeights(f"{path.name} is damaged (the end of the archive is missing)") from None


def _read_torchscript(path: Path, trusted_sha256: str | None) -> dict[str, Tensor]:
    try:
        return ScriptArchive(path).tensors()
    except BrokenWeights:
        import pooch

        if trusted_sha256 is None or pooch.file_hash(str(path)) != trusted_sha256:
            raise
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather have another format, and these files are what they are
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())


class ScriptArchive:
    """The tensors of a TorchScript archive, mapped from its `data/*` where `data.pkl` says they belong.

    Its code is never read. A pickle can only name what stands in the table below: TorchScript's module classes become
    empty holders, its few helpers become functions of ours, and any other name is an error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.archive = zipfile.ZipFile(path)
        self.root = self.archive.namelist()[0].partition("/")[0]
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers under their dotted names. Raises `BrokenWeights` when it cannot be read this way."""
        try:
            with self.archive, self.archive.open(f"{self.root}/data.pkl") as file:
                top = _ScriptUnpickler(file, self).load()
        except BrokenWeights:
            raise
        except Exception as wrong:  # a hostile pickle can raise anything; none of it is ours to explain
            raise BrokenWeights(f"{self.path.name} cannot be read as TorchScript ({_line(wrong)})") from None
        found = dict(_walk(top, ""))
        if not found:
            raise BrokenWeights(f"{self.path.name} holds no named tensors")
        return found

    def storage(self, dtype: torch.dtype, key: str, count: int) -> Tensor:
        """The numbers of one record, flat."""
        record = self.archive.getinfo(f"{self.root}/data/{key}")
        if record.compress_type != zipfile.ZIP_STORED or record.file_size < count * dtype.itemsize:
            raise BrokenWeights(f"{self.path.name} is damaged (record {key})")
        if not count:
            return torch.empty(0, dtype=dtype)
        # A local header is 30 bytes, then the name and the padding, whose lengths stand at 26 and 28.
        header = self.bytes[record.header_offset : record.header_offset + 30]
        name, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
        begin = record.header_offset + 30 + name + extra
        return torch.frombuffer(self.bytes, dtype=dtype, count=count, offset=begin)


class _Module:
    """What a TorchScript module becomes: its fields and nothing else."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.fields = state if isinstance(state, dict) else {}


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


_STORAGES = {"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"}
_STORAGES |= {"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
_SCRIPT_NAMES: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.jit._pickle.restore_type_tag": lambda value, _: value,
    **{f"torch.jit._pickle.build_{kind}list": list for kind in ("int", "double", "bool", "tensor")},
    **{f"torch.{name}Storage": getattr(torch, kind) for name, kind in _STORAGES.items()},
}


class _ScriptUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, archive: ScriptArchive) -> None:
        super().__init__(file)
        self.archive = archive

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return _Module
        if (full := f"{module}.{name}") in _SCRIPT_NAMES:
            return _SCRIPT_NAMES[full]
        raise _refuse(self.archive.path, full)

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        return self.archive.storage(dtype, key, count)


def _walk(module: Any, prefix: str) -> Any:
    for name, value in getattr(module, "fields", {}).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _walk(value, f"{prefix}{name}.")
