"""Checkpoints: reads tensors from published or saved files, without running any code in them."""

from __future__ import annotations

import json
import os
import shlex
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqclip_nb.escapes import visible
from vqclip_nb.models.archives import Archive, Claim
from vqclip_nb.models.errors import BrokenWeights
from vqclip_nb.models.local_files import REMEDIES, wrong_content
from vqclip_nb.models.pickles import StandIn, find, find_named

# Common names of tables and modules around a network's tensors.
WRAPPERS = ["state_dict", "model_state_dict", "model", "module", "params", "net", "network", "weights", "_orig_mod"]
WRAPPERS += ["vqgan", "vqmodel", "first_stage_model", "generator", "clip", "clip_model"]
AVERAGES = [
    "params_ema",
    "model_ema",
    "g_ema",
    "ema",
    "ema_state_dict",
]  # preferred, since averaged weights paint better


@dataclass(frozen=True)
class Weights:
    """Tensors by the names of a network, and the number of other tensors in the file."""

    tensors: dict[str, Tensor]
    dropped: int


def read_weights(
    path: Path,
    *,
    marks: tuple[str, ...] = (),
    needed: Callable[[str], str | None] = str,
    trusted_sha256: str | None = None,
) -> Weights:
    """The tensors of a checkpoint, on the CPU and mapped: safetensors, torch's zip or legacy pickle, or TorchScript.

    `marks` are keys that identify the network; the prefix before such a key, for example `state_dict.model.`, is
    removed from all keys. `needed` returns the name under which a tensor is used, or None. A TorchScript archive that
    cannot be read without running it is run only when its sha256 is `trusted_sha256`. Raises `BrokenWeights`.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if kind := wrong_content(head):
        raise BrokenWeights(f"{path.name} is {kind} in the place of the weights; {REMEDIES[kind]}")
    if head[8:9] == b"{":
        tensors = read_safetensors(path)
        used = _used_tensors(tensors, marks, needed)
        return Weights(used, len(tensors) - len(used))
    try:
        return _read_archive(path, marks, needed)
    except BrokenWeights:
        if trusted_sha256 is None or not _is_script(path, trusted_sha256):
            raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about this format, which cannot be changed
        tensors = dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    used = _used_tensors(tensors, marks, needed)
    return Weights(used, len(tensors) - len(used))


def _read_archive(path: Path, marks: Iterable[str], needed: Callable[[str], str | None]) -> Weights:
    archive = Archive(path)
    if archive.refused:
        raise _code_error(path, archive)
    claims = find_named(archive.value, Claim)
    if not claims:
        raise _no_tensors_error(path, archive.value)
    used = _used_tensors(claims, marks, needed)
    return Weights(archive.tensors(used), len(claims) - len(used))


def _is_script(path: Path, sha256: str) -> bool:
    """Whether it is the published TorchScript archive."""
    import pooch

    try:
        with zipfile.ZipFile(path) as archive:
            script = any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False
    return script and pooch.file_hash(str(path)) == sha256


def _used_tensors(
    tensors: Mapping[str, Any], marks: Iterable[str], needed: Callable[[str], str | None]
) -> dict[str, Any]:
    """The tensors of a file that are needed, with the prefix before a mark removed."""
    prefixes = {key.removesuffix(mark) for mark in marks for key in tensors if f".{key}".endswith(f".{mark}")}
    prefix = min(prefixes, key=_prefix_rank, default="")
    inside = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return {name: value for key, value in inside.items() if (name := needed(key))}


def _prefix_rank(prefix: str) -> tuple[int, bool, int, str]:
    """Sort key of prefixes: the fewest unknown words first, and averages before the plain weights."""
    words = prefix.removesuffix(".").split(".") if prefix else []
    odd = sum(word not in (*WRAPPERS, *AVERAGES) for word in words)
    return odd, not any(word in AVERAGES for word in words), len(words), prefix


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Map a safetensors file. Raises `BrokenWeights`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BrokenWeights(f"{path.name} is not a whole safetensors file ({error})") from None


def read_note(path: Path, key: str) -> str | None:
    """A note in a file's header, written by `write_safetensors`."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(key)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors atomically and one at a time, so that the memory of one tensor is enough.

    Half precision is converted to float32, the dtype of the networks, so that the file can be memory-mapped.
    """
    dtypes = {key: _to_float32(value.dtype) for key, value in tensors.items()}
    order = sorted(tensors, key=lambda key: -dtypes[key].itemsize)  # so that each tensor is aligned
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


def _to_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype


def _safetensors_name(dtype: torch.dtype) -> str:
    """F32 for float32, I64 for int64, U8 for uint8, BOOL."""
    kind = "F" if dtype.is_floating_point else "I" if dtype.is_signed else "U"
    return "BOOL" if dtype == torch.bool else f"{kind}{8 * dtype.itemsize}"


def _code_error(path: Path, archive: Archive) -> BrokenWeights:
    """The error for a file that asks to run code, with the place in it."""
    call = archive.refused[0]
    key = find(archive.value, call)
    subject = f"its key {key} asks" if key else "it asks"
    message = f"{path.name}: {subject} to run {visible(call.maker)[:200]}, which weights never need; nothing was run"
    return BrokenWeights(message)


def _no_tensors_error(path: Path, value: Any) -> BrokenWeights:
    """The error for a file without named tensors, with what it holds instead."""
    table = value if isinstance(value, dict) else {"": value}
    for key, inner in table.items():
        if isinstance(inner, StandIn) and isinstance(key, str):
            where = f"; its key {visible(key)[:80]} is" if key else "; it is"
            message = f"{path.name} holds no named tensors{where} an object of {visible(inner.maker)[:200]}"
            return BrokenWeights(f"{message}. {_export_command(path, value, key)}")
    keys = ", ".join(visible(str(key))[:40] for key in list(table)[:5] if isinstance(key, str) and key)
    return BrokenWeights(f"{path.name} holds no named tensors{f', only {keys}' if keys else ''}")


def _export_command(path: Path, value: Any, key: str) -> str:
    """A command that saves only the tensors. It runs code from the file, so it is for the author of the file."""
    found = next((word for word in (*AVERAGES, *WRAPPERS) if isinstance(value, dict) and word in value), key)
    is_array = key in value and value[key].maker.startswith("numpy") if isinstance(value, dict) else False
    expression = "whole" if not found or (is_array and found == key) else f"whole[{json.dumps(found)}]"
    code = (
        'import sys, numpy, torch; whole = torch.load(sys.argv[1], map_location="cpu", weights_only=False); '
        f"state = {expression}; state = state if isinstance(state, dict) else state.state_dict(); "
        "torch.save({key: torch.as_tensor(value) for key, value in state.items() "
        "if isinstance(value, (torch.Tensor, numpy.ndarray))}, sys.argv[2])"
    )
    command = shlex.join(["python", "-c", code, str(path.resolve()), "weights.pt"])
    return f"If you made this file, and only then, save its tensors alone where its code is installed: `{command}`"
