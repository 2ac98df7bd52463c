"""Checkpoints: the state of a painting as a safetensors file, with a digest of all its content.

The metadata of the file has, under `vqclip`, the version and the facts of `Painting.state_dict` as JSON.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.errors import RunError
from vqclip_nb.safe_files import read

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
FACT_TYPES = {"step": int, "optimizer": int, "parts": int, "thrifty": bool, "settings": dict, "timeline": list}


def pack(state: Mapping[str, Any]) -> bytes:
    """Convert the result of `Painting.state_dict` to the content of a file."""
    from safetensors.torch import save

    facts = json.dumps({"version": VERSION, **state["facts"]}, ensure_ascii=False)
    return save(state["tensors"], {"vqclip": facts, "digest": _digest(facts, state["tensors"])})


def unpack(path: Path) -> dict[str, Any]:
    """Read a file, and return its state for `Painting.load_state_dict`.

    Raises RunError when the file is damaged, or from a later version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = read(path)
        tensors = load(data)
        header_metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        text, facts = header_metadata["vqclip"], json.loads(header_metadata["vqclip"])
        is_intact = header_metadata["digest"] == _digest(text, tensors) and type(facts["version"]) is int
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"the state {path.name} cannot be read: {str(error)[:100]}") from None
    if not is_intact or any(type(facts.get(name)) is not kind for name, kind in FACT_TYPES.items()):
        raise RunError(f"the state {path.name} is damaged")
    if facts.pop("version") > VERSION:
        raise RunError(f"the state {path.name} is from a newer version of vqclip; update vqclip")
    return {"tensors": tensors, "facts": facts}


def _digest(facts: str, tensors: "Mapping[str, Tensor]") -> str:
    import torch

    digest = blake2b(facts.encode(), digest_size=16)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
