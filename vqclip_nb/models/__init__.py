"""Models: a catalog of networks, which are downloaded by hash and loaded without running code from their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vqclip_nb.models.catalog import OPEN_CLIP, Entry, UnknownModel, chosen, entries, info
from vqclip_nb.models.errors import BrokenWeights, CannotFetch

if TYPE_CHECKING:
    from vqclip_nb.models.aesthetic import load_aesthetic_head
    from vqclip_nb.models.download import fetch
    from vqclip_nb.models.language import load_language
    from vqclip_nb.models.load import load_biggan, load_clip, load_vqgan
    from vqclip_nb.models.open_clip import load_open_clip, local_sha256
    from vqclip_nb.models.openai_clip import expand_clip, tokenizer
    from vqclip_nb.models.optimize import optimize_network
    from vqclip_nb.models.prior import load_prior

__all__ = [
    "OPEN_CLIP",
    "BrokenWeights",
    "CannotFetch",
    "Entry",
    "UnknownModel",
    "chosen",
    "entries",
    "expand_clip",
    "fetch",
    "info",
    "load_aesthetic_head",
    "load_biggan",
    "load_clip",
    "load_language",
    "load_open_clip",
    "load_prior",
    "load_vqgan",
    "local_sha256",
    "optimize_network",
    "tokenizer",
]

_LAZY = {  # imported on first use, since these need torch or the network
    **dict.fromkeys(("load_biggan", "load_clip", "load_vqgan"), "load"),
    **dict.fromkeys(("expand_clip", "tokenizer"), "openai_clip"),
    "load_language": "language",
    **dict.fromkeys(("load_open_clip", "local_sha256"), "open_clip"),
    "fetch": "download",
    "optimize_network": "optimize",
    "load_prior": "prior",
    "load_aesthetic_head": "aesthetic",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
