"""Checkpoints: the state of a painting as one safetensors file, with a digest of its whole content.

Its header holds, under `vqclip`, the version and the facts of `Painting.state_dict` as JSON.
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
FACTS = {"step": int, "optimizer": int, "parts": int, "thrifty": bool, "settings": dict, "timeline": list}


def pack(state: Mapping[str, Any]) -> bytes:
    """The file of a state that `Painting.state_dict` returned."""
    from safetensors.torch import save

    facts = json.dumps({"version": VERSION, **state["facts"]}, ensure_ascii=False)
    return save(state["tensors"], {"vqclip": facts, "digest": _digest(facts, state["tensors"])})


def unpack(path: Path) -> dict[str, Any]:
    """The state in a file. Raises RunError when it is damaged, or from a later version."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = read(path)
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        text, facts = header["vqclip"], json.loads(header["vqclip"])
        whole = header["digest"] == _digest(text, tensors) and type(facts["version"]) is int
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"the state {path.name} cannot be read: {str(error)[:100]}") from None
    if not whole or any(type(facts.get(name)) is not kind for name, kind in FACTS.items()):
        raise RunError(f"the state {path.name} is damaged")
    if facts.pop("version") > VERSION:
        raise RunError(f"the state {path.name} is from a newer vqclip; update this one")
    return {"tensors": tensors, "facts": facts}


def _digest(facts: str, tensors: "Mapping[str, Tensor]") -> str:
    import torch

    digest = blake2b(facts.encode(), digest_size=16)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
