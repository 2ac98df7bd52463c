"""Archives: finds the tensors of a checkpoint in its file, in torch's zip and legacy formats."""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqclip_nb.models.errors import BrokenWeights
from vqclip_nb.models.pickles import BadPickle, Builder, Name, Pickle, StandIn

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SLACK = 1 << 20  # bytes of tensors allowed beyond the size of the file

_KINDS = {"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"}
_KINDS |= {"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
_STORAGES = {f"torch.{name}Storage": getattr(torch, kind) for name, kind in _KINDS.items()}
_STORAGES["torch.storage.UntypedStorage"] = torch.uint8
_DTYPES = {f"torch.{name}": kind for name, kind in vars(torch).items() if isinstance(kind, torch.dtype)}


@dataclass(frozen=True)
class Storage:
    """Numbers in the file: their record, their number and dtype, and the index at which a view begins."""

    key: str
    dtype: torch.dtype
    count: int
    begin: int = 0


@dataclass(eq=False)
class Claim:
    """A tensor as a pickle describes it. No memory is used before `Archive.tensors` makes it."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def count(self) -> int:
        """The number of its elements."""
        count = 1
        for side in self.size:
            count *= side
        return count

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize

    def check(self) -> None:
        """Raise BadPickle when it exceeds its storage."""
        if self.dtype.is_complex:
            raise BadPickle("a tensor is of complex numbers")
        available = self.storage.count * self.storage.dtype.itemsize // self.dtype.itemsize
        last = self.offset + sum((side - 1) * step for side, step in zip(self.size, self.stride, strict=True))
        if self.count and not 0 <= self.offset <= last < available:
            raise BadPickle("a tensor reaches out of its storage")
        if self.count > max(available, SLACK // self.dtype.itemsize):
            raise BadPickle(f"a tensor of {self.count:,} numbers has only {available:,} in the file")


class Archive:
    """A file of `torch.save` or `torch.jit.save`, memory-mapped; its pickle is read as data.

    value: its content, with a Claim for each tensor. refused: stand-ins for calls in it that weights never need.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise BrokenWeights(f"{self.name} is damaged (it is empty)")
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.spans: dict[str, tuple[int, int]] = {}  # the begin and end of each record in the file
        try:
            pickle = self._zipped(path) if self.bytes[:2] == b"PK" else self._legacy()
        except zipfile.BadZipFile:
            raise BrokenWeights(f"{self.name} is damaged (the end of the archive is missing)") from None
        except BadPickle as error:
            raise BrokenWeights(f"{self.name} is damaged, or not a file of weights ({error})") from None
        except Exception as error:  # a hostile archive can raise anything
            message = (str(error).splitlines() or [type(error).__name__])[0]
            raise BrokenWeights(f"{self.name} is damaged ({message})") from None
        self.value, self.refused = pickle.value, pickle.refused

    def tensors(self, claims: dict[str, Claim]) -> dict[str, Tensor]:
        """Memory-mapped tensors for claims; together they may not be much larger than the file.

        Raises BrokenWeights.
        """
        result = {}
        try:
            for claim in claims.values():
                claim.check()
            if (total := sum(claim.bytes for claim in claims.values())) > 2 * len(self.bytes) + SLACK:
                raise BadPickle(f"its tensors claim {total:,} bytes, and it has {len(self.bytes):,}")
            for name, claim in claims.items():
                result[name] = self._tensor(claim)
        except (BadPickle, ValueError, RuntimeError, LookupError) as error:
            message = (str(error).splitlines() or [type(error).__name__])[0]
            raise BrokenWeights(f"{self.name} is damaged ({message})") from None
        return result

    def _tensor(self, claim: Claim) -> Tensor:
        storage = claim.storage
        if not claim.count:
            return torch.empty(claim.size, dtype=claim.dtype)
        begin, end = self.spans[storage.key]
        begin += storage.begin * storage.dtype.itemsize
        length = storage.count * storage.dtype.itemsize
        if not begin <= begin + length <= end:
            raise BadPickle(f"record {storage.key} is too short")
        count = length // claim.dtype.itemsize
        flat = torch.frombuffer(self.bytes, dtype=claim.dtype, count=count, offset=begin)
        return flat.as_strided(claim.size, claim.stride, claim.offset)

    def _zipped(self, path: Path) -> Pickle:
        with zipfile.ZipFile(path) as archive:
            root = next(iter(archive.namelist()), "").partition("/")[0] + "/"
            for record in archive.infolist():
                if record.filename.startswith((f"{root}data/", f"{root}data.pkl", f"{root}byteorder")):
                    self.spans[record.filename.removeprefix(root)] = self._span(record)
        if self.bytes[slice(*self.spans.get("byteorder", (0, 0)))] == b"big":
            raise BadPickle("it was saved by a machine of the other byte order")
        begin, end = self.spans["data.pkl"]
        self.spans = {name.removeprefix("data/"): span for name, span in self.spans.items()}
        return self._read(io.BytesIO(self.bytes[begin:end]))

    def _span(self, record: zipfile.ZipInfo) -> tuple[int, int]:
        """The begin and end of a record. Its local header has 30 bytes, then a name and padding of given lengths."""
        if record.compress_type != zipfile.ZIP_STORED:
            raise BadPickle(f"record {record.filename} is compressed, which torch never does")
        header = self.bytes[record.header_offset : record.header_offset + 30]
        name, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
        begin = record.header_offset + 30 + name + extra
        if begin + record.file_size > len(self.bytes):
            raise BadPickle(f"record {record.filename} is longer than the file")
        return begin, begin + record.file_size

    def _legacy(self) -> Pickle:
        """Several pickles in sequence, then the storages, each as a count and its numbers."""
        file = self.bytes
        if Pickle(file).value != LEGACY_MAGIC:
            raise BadPickle("it does not begin as a checkpoint does")
        if Pickle(file).value != LEGACY_PROTOCOL or Pickle(file).value.get("little_endian") is not True:
            raise BadPickle("it is of a protocol or byte order that is not known")
        storages: dict[str, torch.dtype] = {}
        pickle = self._read(file, storages)
        keys = Pickle(file).value
        end = file.tell()
        for key in keys:
            count = int.from_bytes(file[end : end + 8], "little", signed=True)
            begin, end = end + 8, end + 8 + count * storages[key].itemsize
            if not begin <= end <= len(file):
                raise BadPickle("the end of the file is missing")
            self.spans[key] = begin, end
        return pickle

    def _read(self, file: Any, storages: dict[str, torch.dtype] | None = None) -> Pickle:
        def persistent(identity: Any) -> Any:
            if identity[0] == "module":  # a network's class, with its source
                return identity[1]
            kind, name, key, _, count, *view = identity
            if kind != "storage" or not isinstance(key, str) or not _are_sizes((count,)):
                raise BadPickle("it points to something that is no storage")
            dtype = _STORAGES[name.full]
            if storages is not None:
                storages[key] = dtype
            if view and view[0] is not None:
                _, begin, count = view[0]
                if not _are_sizes((begin, count)):
                    raise BadPickle("it points to something that is no storage")
                return Storage(key, dtype, count, begin)
            return Storage(key, dtype, count)

        return Pickle(file, builders=_BUILDERS, persistent=persistent)


def _are_sizes(numbers: Iterable[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 2**62 for number in numbers)


def _claim(storage: Any, offset: Any, size: Any, stride: Any, *_: Any, dtype: torch.dtype | None = None) -> Claim:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or not _are_sizes(numbers) or len(size) != len(stride) or len(size) > 16:
        raise BadPickle("a tensor's shape is none")
    return Claim(storage, offset, tuple(size), tuple(stride), dtype or storage.dtype)


def _claim_of_kind(storage: Any, offset: Any, size: Any, stride: Any, _: Any, __: Any, kind: Any, *___: Any) -> Claim:
    return _claim(storage, offset, size, stride, dtype=_DTYPES[kind.full])


def _claim_of_type(builder: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """A tensor of a subclass, or with extra fields: only the tensor is used."""
    return _BUILDERS[builder.full](*arguments) if isinstance(builder, Name) else StandIn("torch.Tensor")


def _first(value: Any, *_: Any) -> Any:
    return value


_BUILDERS: dict[str, Builder] = {
    "collections.OrderedDict": lambda *_: {},
    "collections.defaultdict": lambda *_: {},
    "torch.Size": lambda *sides: tuple(sides[0]) if sides else (),
    "torch._utils._rebuild_tensor": _claim,
    "torch._utils._rebuild_tensor_v2": _claim,
    "torch._utils._rebuild_tensor_v3": _claim_of_kind,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _claim_of_type,
    "torch.jit._pickle.restore_type_tag": _first,
    **{f"torch.jit._pickle.build_{kind}list": _first for kind in ("int", "double", "bool", "tensor")},
}
