"""Time and peak memory of a model's first and second load, with full-size stand-ins for the published files.

    python benchmarks/loading.py --json FILE

The files are made in a temporary folder (about 7 GB, deleted afterwards). Every figure comes from a process of its own;
the memory is the peak above what Python with torch needed before the load.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

PROBE = """
import json, sys, time, torch
import taming.modules.diffusionmodules.model, safetensors.torch
from vqclip_nb.models import load, openai_clip
openai_clip.part("model")
def status(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) / 1000
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before, clock, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
kept = [getattr(load, f"load_{kind}")(name) for kind, name in json.loads(sys.argv[1])]
for model in kept:
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.sum()  # every page of the mapped weights is touched
seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
peak = round(status("VmHWM") - before)
print(json.dumps({"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_mb": peak}))
"""


def measure(*names: str) -> dict[str, float]:
    """Load models (`name, kind, name, kind, ...`) in a fresh process: {"seconds", "cpu_seconds", "peak_mb"}."""
    pairs = [(kind, name) for name, kind in zip(names[::2], names[1::2], strict=True)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VQCLIP_OFFLINE": "1"}
    run_result = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(pairs)], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(run_result.stdout.splitlines()[-1])


def make_vqgan(name: str, keys: str, trained: tuple[str, ...], *, zipped: bool = True, filler: int = 0) -> Path:
    """A stand-in for a published checkpoint under its own name.

    Tensors whose keys begin with one of `trained` have their optimizer's moments in the file too. With a `filler` it
    is a transformer's checkpoint: the VQGAN is its first stage, and so many bytes stand for the rest.
    """
    import torch

    from tests import standins
    from vqclip_nb import models

    entry = models.info(name, "vqgan")
    state = standins.listed(ROOT / "tests" / "data" / keys)
    if filler:
        state["quantize.embedding.weight"] = torch.randn(1024, 256)
        state = {f"first_stage_model.{key}": value for key, value in state.items() if not key.startswith("loss.")}
    extra = {"transformer": [torch.zeros(25_000_000) for _ in range(filler // 100_000_000)]}
    entry.folder.mkdir(parents=True, exist_ok=True)
    standins.save_lightning(entry.folder / entry.sources[0].file, state, zipped=zipped, trained=trained, **extra)
    return entry.folder / entry.sources[0].file


def make_clip(name: str) -> Path:
    """A stand-in for ViT-B/32's TorchScript archive."""
    from tests import standins
    from vqclip_nb import models
    from vqclip_nb.models import openai_clip

    entry = models.info(name, "clip")
    entry.folder.mkdir(parents=True, exist_ok=True)
    clip = openai_clip.part("model").CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).eval()
    standins.save_torchscript(entry.folder / entry.sources[0].file, clip)
    return entry.folder / entry.sources[0].file


def both(name: str, kind: str, path: Path) -> dict[str, float]:
    """The first and the second load of one model, and what they are held against."""
    from vqclip_nb import models

    file_mb = path.stat().st_size / 1e6
    first = measure(name, kind)
    stripped_mb = models.info(name, kind).stripped.stat().st_size / 1e6
    second = measure(name, kind)
    return {
        "file_mb": round(file_mb),
        "stripped_mb": round(stripped_mb),
        "first_seconds": first["seconds"],
        "first_cpu_seconds": first["cpu_seconds"],
        "first_peak_mb": first["peak_mb"],
        "first_peak_over_stripped": round(first["peak_mb"] / stripped_mb, 2),
        "first_peak_over_file": round(first["peak_mb"] / file_mb, 2),
        "second_seconds": second["seconds"],
        "second_cpu_seconds": second["cpu_seconds"],
        "second_peak_mb": second["peak_mb"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["VQCLIP_HOME"] = home
        f16, f8 = "keys_f16_imagenet_16384.txt", "keys_f8_gumbel_8192.txt"
        autoencoder = ("encoder", "decoder", "quant", "post_quant", "loss.disc")
        found = {
            "imagenet_f16_16384 (zip)": both(
                "imagenet_f16_16384", "vqgan", make_vqgan("imagenet_f16_16384", f16, autoencoder)
            ),
            "openimages_f8_8192 (zip)": both(
                "openimages_f8_8192", "vqgan", make_vqgan("openimages_f8_8192", f8, ("loss.disc",))
            ),
            "sflckr (legacy)": both(
                "sflckr", "vqgan", make_vqgan("sflckr", f16, ("transformer",), zipped=False, filler=4_000_000_000)
            ),
            "ViT-B/32 (TorchScript)": both("ViT-B/32", "clip", make_clip("ViT-B/32")),
            "imagenet_f16_16384 and ViT-B/32, second load": measure("imagenet_f16_16384", "vqgan", "ViT-B/32", "clip"),
        }
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
