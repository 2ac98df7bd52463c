"""What surviving costs, and how exact it is: a run painted whole, and one that was dropped half-way and resumed.

python benchmarks/survival.py --steps 20 --device cuda --json survival.json
"""

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

from vqclip_nb import Settings
from vqclip_nb.cli.doctor import describe
from vqclip_nb.session import replay, resume, start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as out:
        run_settings = Settings(steps=arguments.steps, device=arguments.device, save_every="100000", out=out)
        began = time.perf_counter()
        active = start(run_settings)
        *_, whole = active
        painted = time.perf_counter() - began

        dropped = start(run_settings)
        list(islice(dropped, arguments.steps // 2))
        began = time.perf_counter()
        dropped.record.save(dropped.painting)
        saved = time.perf_counter() - began
        (state,) = dropped.record.folder.glob("state/*")
        size = state.stat().st_size
        began = time.perf_counter()
        again = resume(dropped.record.folder)
        taken_up = time.perf_counter() - began
        *_, resumed = again

        active.record.finish(active.painting)
        *_, replayed = replay(active.record.folder)

    figures = {
        "device": describe(active.painting.device),
        "steps": arguments.steps,
        "largest difference after resuming half-way (of 1)": float((whole.image - resumed.image).abs().max()),
        "largest difference after replaying (of 1)": float((whole.image - replayed.image).abs().max()),
        "painting and loading, seconds": round(painted, 2),
        "state, bytes": size,
        "saving, seconds": round(saved, 3),
        "loading and resuming, seconds": round(taken_up, 2),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
