"""Start-up, whole default picture and memory: `python benchmarks/startup.py --json FILE`.

Measures the command line as a person runs it, then where a step's time goes, on this machine's CPU.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PROMPT = "a red house by the sea at sunset, an oil painting"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures here as well")
    parser.add_argument(
        "--stage-steps", type=int, default=10, help="steps over which the stages are timed (default: 10)"
    )
    arguments = parser.parse_args()

    figures = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "import_seconds": import_seconds(),
        **command_seconds(),
        "stages": stages(arguments.stage_steps),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


def import_seconds(times: int = 5) -> float:
    """`import vqclip_nb` in a fresh interpreter, the median, without the interpreter's own start."""
    script = "import time; start = time.perf_counter(); import vqclip_nb; print(time.perf_counter() - start)"
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in range(times)
    ]
    return round(statistics.median(float(run.stdout) for run in runs), 4)


def command_seconds() -> dict[str, float]:
    """`vqclip paint PROMPT`, from the command to the first frame on the disk, to the end, and its peak memory."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        words = [sys.executable, "-m", "vqclip_nb", "paint", PROMPT, "--out", out, "--device", "cpu", "--quiet"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(Path(out).glob("*/frames/000001.jpg")):
            time.sleep(0.02)
        first = time.perf_counter() - start
        _, status, usage = os.wait4(process.pid, 0)
        whole = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"vqclip paint ended with status {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB elsewhere
    return {
        "first_step_seconds": round(first, 2),
        "whole_picture_seconds": round(whole, 2),
        "peak_resident_gb": round(usage.ru_maxrss * unit / 1e9, 3),
    }


def stages(steps: int) -> dict[str, Any]:
    """The share of each stage of a step, and the milliseconds of a step, saving counted as if it were in line."""
    from vqclip_nb import Settings, images
    from vqclip_nb.objectives import Guide, great_circle, pull
    from vqclip_nb.rng import Draws
    from vqclip_nb.session import build_painting

    painting = build_painting(Settings(prompt=PROMPT, device="cpu"))
    guides = [term.objective for term in painting.terms if isinstance(term.objective, Guide)]
    spent: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - start
        return result

    painting.step()
    for step in range(steps):
        draws = Draws(painting.settings.seeds, step)
        image, loss = timed("decode", painting.canvas), 0
        for guide in guides:
            views = timed("cutouts", partial(guide.cutouts, image, draws.of(guide.perceptor.name), 0.0))
            embeddings = timed("perceptor", partial(guide.perceptor.encode_image, views))
            distance = great_circle(embeddings[:, None], guide.embeddings[0])
            loss = loss + pull(distance, guide.weights, guide.stops).mean()
        timed("backward", loss.backward)
        timed("saving", lambda image=image: images.grid(images.to_pils(image)).tobytes("jpeg", "RGB"))
    total = sum(spent.values())
    return {
        "milliseconds_per_step": round(1000 * total / steps, 1),
        "share": {stage: round(seconds / total, 3) for stage, seconds in spent.items()},
    }


if __name__ == "__main__":
    main()
