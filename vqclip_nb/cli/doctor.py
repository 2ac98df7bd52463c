"""`vqclip doctor`: shows what this machine has and what is missing, for bug reports."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vqclip_nb import device
from vqclip_nb.models import catalog, download, transfer

PACKAGES = (
    *("vqclip_nb", "torch", "numpy", "openai-clip", "taming-transformers", "kornia", "pydantic", "safetensors"),
    *("pooch", "pillow", "imageio-ffmpeg", "ipywidgets", "ipython", "open_clip_torch", "transformers", "ray"),
)
SPACE_NEEDED = 3e9  # bytes for the two large models, their stripped copies and a run


def add(subparsers: Any) -> None:
    """Add the command to the `vqclip` parser."""
    parser = subparsers.add_parser("doctor", help="show what this machine has and what is missing")
    parser.add_argument(
        "--online",
        action="store_true",
        help="also try each download address, and check that downloaded models reproduce published results",
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the results of all checks; the exit status is 1 when something needed is missing."""
    for title, lines in (("versions", versions()), ("device", devices()), ("disk", disk())):
        print(title)
        for line in lines:
            print(f"  {line}")
    print("checks")
    results = [_report(name, probe) for name, probe in CHECKS.items()]
    if arguments.online:
        print("addresses")
        results += addresses()
        print("reference values")
        results += [_report(name, probe) for name, probe in REFERENCE_CHECKS.items()]
    return 0 if all(results) else 1


def versions() -> Iterator[str]:
    """Lines with the versions of Python, of the operating system and of the packages in use."""
    yield f"Python {platform.python_version()} on {platform.platform()}" + (" in Colab" if device.in_colab() else "")
    for name in PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is not installed"


def devices() -> Iterator[str]:
    """Lines about the device that vqclip would use, its precision and threads, and warnings about unusable devices."""
    import torch

    with warnings.catch_warnings(record=True) as caught_warnings:
        warnings.simplefilter("always")
        best = device.choose()
    yield f"{best}, {describe(best)}"
    precision = device.precision(best)
    yield f"precision {precision.name}: {precision.why}"
    yield f"{torch.get_num_threads()} threads on {os.cpu_count()} CPU cores"
    yield from (str(warning.message) for warning in caught_warnings)


def disk() -> Iterator[str]:
    """Lines about the cache folder: its free space and its files."""
    folder = catalog.home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    yield f"{shutil.disk_usage(existing).free / 1e9:,.1f} GB free in {folder}"
    if second_home := download.second_home():
        yield f"second home {second_home}"
    for entry in catalog.entries():
        for path in entry.files() if not entry.packaged else ():
            yield f"{entry.full_name}: {path.name}, {path.stat().st_size / 1e6:,.0f} MB"
        for path in sorted(entry.folder.glob("*.part")) if not entry.packaged else ():
            yield f"{entry.full_name}: {path.name}, {path.stat().st_size / 1e6:,.0f} MB, an incomplete download"


def addresses() -> Iterator[bool]:
    """Request every address in the catalog, several at a time, and print the answers.

    Yields whether each model has an address that works.
    """
    sources = [(entry, source) for entry in catalog.entries() for source in entry.sources]
    candidates = [(entry, address) for entry, source in sources for address in source.addresses if "://" in address]
    models: dict[str, bool] = {}
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(try_address, [address for _, address in candidates])
        for (entry, address), (is_good, reply) in zip(candidates, answers, strict=True):
            print(f"  {'✓' if is_good else '✗'} {entry.full_name} {address}: {reply}")
            models[entry.full_name] = models.get(entry.full_name, False) or is_good or not entry.alive
    yield from models.values()


def try_address(address: str, timeout: float = 10) -> tuple[bool, str]:
    """Send a HEAD request. Returns whether the address offers a file, and a short text: its size, or the problem."""
    import requests

    if os.environ.get("VQCLIP_OFFLINE"):
        return False, "not tried, VQCLIP_OFFLINE is set"
    try:
        reply = requests.head(address, allow_redirects=True, timeout=timeout)
    except requests.RequestException as error:
        return False, transfer.reason(error)
    if reply.status_code >= 400:
        return False, f"{reply.status_code} {reply.reason}"
    if reply.headers.get("Content-Type", "").startswith("text/html"):
        return False, "a web page instead of the file"
    size = reply.headers.get("Content-Length")
    return True, f"{int(size):,} bytes" if size else "ok"


def _clip() -> str:
    from vqclip_nb.models import openai_clip

    openai_clip.part("model")
    openai_clip.part("simple_tokenizer")
    return ""


def _taming() -> str:
    try:
        import taming.modules.diffusionmodules.model  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{error}; run `pip install taming-transformers`") from None
    return ""


def _film() -> str:
    import imageio_ffmpeg

    return Path(imageio_ffmpeg.get_ffmpeg_exe()).name


def _demo() -> str:
    from vqclip_nb import models

    return f"{len(models.load_vqgan('demo').codebook)} codes, {len(models.load_clip('demo').known_tokens)} tokens"


def _gpu() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return str(device.choose())


def _cache() -> str:
    folder = catalog.home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{folder} cannot be written ({error.strerror}); set VQCLIP_HOME to a folder that can") from None
    return ""


def _free_space() -> str:
    try:
        _cache()
    except OSError:
        raise OSError(f"{catalog.home()} cannot be written, so nothing can be downloaded into it") from None
    free = shutil.disk_usage(catalog.home()).free
    if free < SPACE_NEEDED:
        raise OSError(
            f"{free / 1e9:.1f} GB are free, but the large models need {SPACE_NEEDED / 1e9:.0f}; set VQCLIP_HOME to a "
            "folder on another disk"
        )
    return f"{free / 1e9:,.0f} GB"


def _clip_reference() -> str:
    from vqclip_nb import models
    from vqclip_nb.cli import reference_values

    _on_disk(models.info("ViT-B/32", "clip"))
    picture = download.fetch(reference_values.CLIP_PICTURE)
    probabilities = reference_values.clip_probabilities(models.load_clip("ViT-B/32"), picture)
    result = ", ".join(f"{value:.4f}" for value in probabilities)
    if any(
        abs(value - expected) > reference_values.CLIP_TOLERANCE
        for value, expected in zip(probabilities, reference_values.CLIP_PROBABILITIES, strict=True)
    ):
        published = ", ".join(f"{value:.4f}" for value in reference_values.CLIP_PROBABILITIES)
        raise ValueError(f"got {result}, but OpenAI published {published}; please report this")
    return result


def _vqgan_reference() -> str:
    from vqclip_nb import models
    from vqclip_nb.cli import reference_values

    entry = models.info("imagenet_f16_16384", "vqgan")
    _on_disk(entry)
    decibels = reference_values.psnr(models.load_vqgan(entry.name), download.fetch(reference_values.PHOTO))
    if decibels < reference_values.MIN_PSNR:
        raise ValueError(
            f"reconstructs a photo with {decibels:.1f} dB, but at least {reference_values.MIN_PSNR} dB are expected; "
            "please report this"
        )
    return f"reconstructs a photo with {decibels:.1f} dB"


def _on_disk(entry: catalog.Entry) -> None:
    if not entry.on_disk:
        raise OSError(f"not on the disk yet; run `vqclip models get {entry.name}`, then this command again")


CHECKS: dict[str, Callable[[], str]] = {
    "openai-clip's model and tokenizer": _clip,
    "taming's encoder and decoder": _taming,
    "ffmpeg for films": _film,
    "the demo pair loads": _demo,
    "the best device works": _gpu,
    "the cache folder can be written": _cache,
    "space for the large models": _free_space,
}
REFERENCE_CHECKS: dict[str, Callable[[], str]] = {
    "ViT-B/32 on OpenAI's example": _clip_reference,
    "imagenet_f16_16384 on a photo": _vqgan_reference,
}


def _report(name: str, probe: Callable[[], str]) -> bool:
    """Run one check and print its result, or its error, which says what to do."""
    try:
        result = probe()
    except Exception as error:  # a failed check must not end the report
        print(f"  ✗ {name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        return False
    print(f"  ✓ {name}{': ' if result else ''}{result}")
    return True


def describe(device: Any) -> str:
    """A device's memory; for CUDA also its name and compute capability."""
    import torch

    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        free, total = torch.cuda.mem_get_info(device)
        memory = f"{total / 1e9:.1f} GB, {free / 1e9:.1f} free"
        return f"{properties.name}, {memory}, compute capability {properties.major}.{properties.minor}"
    if device.type == "mps":
        return f"{torch.mps.recommended_max_memory() / 1e9:.1f} GB for graphics"
    is_memory_known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    return (
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
        if is_memory_known
        else "memory unknown"
    )
