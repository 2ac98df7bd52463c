"""What half precision on a GPU keeps to: memory, a T4's limits, and the pictures that float32 paints.

    python benchmarks/limits.py --json FILE [--device cuda] [--prompts 12]

memory: networks of the published shapes paint in a share of the GPU's memory that PyTorch may not leave (what CUDA
itself takes, about 0.5 GB, is not counted). t4: in float16 with scaled gradients, without flash attention, 300 steps.
agreement: the demo pair along a run, from the same codes and draws in both precisions; and what the judge says of
pictures painted in half precision, in float32, and by the published chain of cutouts.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "training"), str(ROOT / "benchmarks")]

import speed  # noqa: E402

LIMITS = {"512": (512, 4.0, 60), "1024": (1024, 8.0, 30), "2048": (2048, 24.0, 10), "t4": (512, 6.0, 300)}
WAYS = ("half precision", "float32", "published cutouts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--prompts", type=int, default=12, help="that the judge sees painted in each way")
    parser.add_argument("--workers", type=int, default=6, help="that paint for the judge, at the same time")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--alone", choices=LIMITS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(limited(arguments.device, arguments.alone)))
        return
    where = speed.machine(arguments.device)
    report: dict[str, Any] = {key: where[key] for key in ("device", "date", "torch")}
    report["agreement"] = agreement(arguments.device)
    for name in LIMITS if arguments.device.startswith("cuda") else ():
        words = ["--alone", name, "--device", arguments.device, "--json", str(arguments.json)]
        process = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)
        message = process.stdout or process.stderr or "nothing said"
        report[name] = json.loads(message.splitlines()[-1]) if process.returncode == 0 else {"failed": message[-500:]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    report["judged_right"] = judged(arguments.device, arguments.prompts, arguments.workers)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def limited(place: str, name: str) -> dict[str, Any]:
    """What `main` runs in a process of its own for each of LIMITS."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from vqclip_nb import device
    from vqclip_nb.errors import PaintWarning
    from vqclip_nb.gpu import triton_layers

    size, most, steps = LIMITS[name]
    torch.cuda.set_per_process_memory_fraction(most * 1e9 / torch.cuda.get_device_properties(0).total_memory)
    half = device.Precision("float16", scaled=True)
    asked = argparse.Namespace(cutn=32, device=place)
    with warnings.catch_warnings(record=True) as records, ExitStack() as patches:
        warnings.simplefilter("always")
        if name == "t4":
            old = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
            patches.enter_context(
                mock.patch.object(triton_layers, "sdpa_kernel", side_effect=lambda _: sdpa_kernel(old))
            )
            patches.enter_context(mock.patch.object(device, "precision", return_value=half))
        painting = speed.Ours(speed.networks("large"), speed.settings_of(asked, "large", size, 1)).painting
        losses = [float(painting.step().loss) for _ in range(3)]
        seconds, _ = speed.timed(painting.step, steps - 4, torch.cuda.synchronize)
        losses.append(float(painting.step().loss))
    return {
        "limit_gb": most,
        "peak_gb": round(torch.cuda.max_memory_reserved() / 1e9, 2),
        "steps": steps,
        "finite": all(map(math.isfinite, losses)) and bool(painting.picture().isfinite().all()),
        "precision": painting.canvas.precision.name,
        "scale": painting.guard.scaler.get_scale(),
        "parts": painting.guard.parts,
        "piece_by_piece": painting.canvas.thrifty,
        "steps_per_second": round(1 / seconds, 2),
        "warned": [str(one.message) for one in records if issubclass(one.category, PaintWarning)],
    }


def agreement(place: str) -> dict[str, list[float]]:
    """Along a run of the demo pair, every 20 steps: PSNR in dB of the pictures, and the cosine of the gradients."""
    import torch

    from vqclip_nb import Settings, device
    from vqclip_nb.session import build_painting

    painting = build_painting(Settings(prompt=speed.PROMPT, device=place, every=100_000, tidy=0))
    found: dict[str, list[float]] = {"psnr_db": [], "gradient_cosine": []}
    for step in range(120):
        painting.step()
        half = painting.canvas.precision
        if step % 20 == 0:
            seen, pulls = [], []
            for precision in (device.FLOAT32, half):
                pulls.append(painting.guard.trial(precision, painting._evaluate)[1].float())
                with torch.no_grad():
                    seen.append(painting.canvas().clone())
            painting.canvas.zero_grad()
            found["psnr_db"].append(round(-10 * math.log10(float((seen[0] - seen[1]).square().mean()) + 1e-12), 1))
            found["gradient_cosine"].append(round(float(torch.cosine_similarity(*pulls, dim=0)), 4))
    return found | {"precision": half.name}


def judged(place: str, count: int, workers: int) -> dict[str, float]:
    """The share of the prompts that the judge picks out of the sixty, for each way of painting them."""
    import numpy as np
    import torch
    from demo_quality import prompts
    from judge import load_judge
    from scenes import caption

    scenes = prompts()
    asked = range(0, len(scenes), max(1, len(scenes) // count))
    jobs = [(way, caption(scenes[k][1]), place) for way in WAYS for k in asked]
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pictures = np.stack(list(pool.map(painted, jobs)))
    print(f"{len(jobs)} pictures in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    scores = load_judge().scores(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255, [s for _, s in scenes])
    right = np.equal(scores.argmax(1).tolist(), len(WAYS) * list(asked)).reshape(len(WAYS), -1)
    return {way: round(float(row.mean()), 3) for way, row in zip(WAYS, right, strict=True)} | {"prompts": len(asked)}


def painted(job: tuple[str, str, str]) -> Any:
    """The finished picture of one prompt, (H, W, 3) uint8."""
    import torch
    from demo_quality import paint_one

    from vqclip_nb import device

    way, prompt, place = job
    torch.set_num_threads(1)
    changes = {"device": place} | ({"cutouts": "pooling-published"} if way == WAYS[2] else {})
    patched = mock.patch.object(device, "precision", return_value=device.FLOAT32)
    with patched if way == WAYS[1] else nullcontext():
        return paint_one((prompt, changes))


if __name__ == "__main__":
    main()
