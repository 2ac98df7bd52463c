"""Load: builds a frozen network from a model's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from vqclip_nb.models import biggan, openai_clip, vqgan
from vqclip_nb.models.catalog import Entry, info
from vqclip_nb.models.checkpoints import read_note, read_safetensors, read_weights, write_safetensors
from vqclip_nb.models.download import fetch, lock_folder
from vqclip_nb.models.errors import BrokenWeights
from vqclip_nb.models.transfer import Report


def load_vqgan(name: str, *, report: Report | None = None) -> vqgan.VQGAN:
    """A VQGAN by name ("demo", "vqgan/demo", "imagenet_f16_16384", ...): float32, CPU, eval, frozen.

    Missing files are downloaded; progress goes to `report`. Raises `UnknownModel`, `CannotFetch` or `BrokenWeights`.
    """
    return vqgan_of(info(name, "vqgan"), report=report)


def vqgan_of(entry: Entry, *, report: Report | None = None) -> vqgan.VQGAN:
    """The VQGAN of an entry, which may not be in the catalog yet."""
    config = _with_model_name(entry, lambda: _vqgan_config(entry))
    return _with_model_name(entry, lambda: _count_unused(entry, vqgan.build(config, _weights(entry, vqgan, report))))


def _vqgan_config(entry: Entry) -> vqgan.VQGANConfig:
    try:
        if entry.packaged:
            return vqgan.VQGANConfig.read(entry.folder / "vqgan.yaml")
        return vqgan.VQGANConfig.from_taming(entry.config or {})
    except ValueError as error:
        raise BrokenWeights(str(error)) from None


def load_biggan(name: str, *, report: Report | None = None) -> biggan.BigGAN:
    """A BigGAN-deep generator by name ("512", "biggan/256", ...): float32, CPU, eval, frozen, spectral norms folded.

    Missing files are downloaded; progress goes to `report`. Raises `UnknownModel`, `CannotFetch` or `BrokenWeights`.
    """
    entry = info(name, "biggan")
    config = _with_model_name(entry, lambda: biggan.BigGANConfig.read(entry.config or {}))
    return _with_model_name(entry, lambda: _count_unused(entry, biggan.build(config, _weights(entry, biggan, report))))


def load_clip(name: str, *, which: int = 0, report: Report | None = None) -> Any:
    """openai-clip's CLIP by name ("demo", "ViT-B/32", ...): float32, CPU, eval, frozen, with `known_tokens`.

    `which` is the index of the network, if several have this name. Missing files are downloaded; progress goes to
    `report`. Raises `UnknownModel`, `CannotFetch` or `BrokenWeights`.
    """
    return clip_of(info(name, "clip"), which=which, report=report)


def clip_of(entry: Entry, *, which: int = 0, report: Report | None = None) -> Any:
    """The CLIP of an entry, which may not be in the catalog yet."""
    return _with_model_name(
        entry, lambda: _count_unused(entry, openai_clip.build(_weights(entry, openai_clip, report, which)))
    )


def _weights(entry: Entry, network: Any, report: Report | None, which: int = 0) -> dict[str, Tensor]:
    """The tensors that a kind of network uses, memory-mapped from a stripped copy, which the first load writes."""
    if entry.packaged:
        return read_safetensors(entry.weights[which])
    files = [path for path in entry.files() if path != entry.stripped]
    if entry.stripped.is_file() and not (files and _newer(files[0], entry.stripped)):
        return read_safetensors(entry.stripped)

    path = files[0] if files else fetch(entry, report=report)
    source = next(source for source in entry.sources if source.file == path.name)
    trusted_sha256 = None if entry.added else source.sha256
    weights = read_weights(path, marks=network.MARKS, needed=network.needed, trusted_sha256=trusted_sha256)
    if path.suffix == ".safetensors":  # already memory-mapped
        return weights.tensors
    try:
        with lock_folder(entry, report or (lambda progress: None)):
            write_safetensors(entry.stripped, weights.tensors, {"dropped": str(weights.dropped)})
    except OSError:  # a full or read-only disk: loading is only slower
        return weights.tensors
    del weights
    return read_safetensors(entry.stripped)


def _count_unused(entry: Entry, model: Any) -> Any:
    """Add the tensors that the stripped copy left out to a network's count of unexpected ones."""
    if not entry.packaged and entry.stripped.is_file():
        model.unexpected += int(read_note(entry.stripped, "dropped") or 0)
    return model


def _newer(path: Any, than: Any) -> bool:
    return path.stat().st_mtime_ns > than.stat().st_mtime_ns


def _with_model_name(entry: Entry, make: Callable[[], Any]) -> Any:
    """Run a step of loading; errors name the model and the remedy."""
    try:
        return make()
    except BrokenWeights as error:
        remedy = (
            "reinstall vqclip_nb" if entry.packaged else f"`vqclip models check {entry.full_name}` finds a damaged file"
        )
        raise BrokenWeights(f"{entry.full_name} cannot be loaded: {error}; {remedy}") from error
