"""Which settings get to a good picture first: judged quality against steps and against seconds.

    python benchmarks/time_to_quality.py --json FILE --plot FILE.png [--every-nth N] [--steps N] [--only NAME ...]

The demo pair paints prompts that no training saw, with one setting after another changed from the defaults, and the
judge, which never guides a painting, looks at the picture on the way: `right` is the share that it gives its own
prompt among the sixty, `chance` the mean probability that it gives it. Seconds are those of the steps alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "training"), str(ROOT / "benchmarks")]

from demo_quality import prompts  # noqa: E402
from scenes import caption  # noqa: E402

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    **{f"cutn {cutn}": {"cutn": cutn} for cutn in (4, 8, 32, 64)},
    **{f"lr {lr}": {"lr": lr} for lr in (0.03, 0.05, 0.2, 0.4)},
    **{f"average {average}": {"average": average} for average in (0.0, 0.8, 0.95)},
    **{f"size {side}": {"size": (side, side)} for side in (96, 128, 256)},
    "crops": {"cutouts": "crops"},
    "published cutouts": {"cutouts": "pooling-published"},
}
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#edae49", "#7b4b94", "#30638e", "#00798c", "#8d5524", "#999999")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--look-every", type=int, default=10)
    parser.add_argument("--every-nth", type=int, default=1, help="paint only every n-th of the sixty prompts")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()

    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "recipes": {}}
    for name in arguments.only:
        report["recipes"][name] = curve(RECIPES[name], arguments)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
        last = report["recipes"][name][-1]
        print(f"{name}: right {last['right']:.2f} after {last['seconds']:.0f} s", flush=True)
    if arguments.plot:
        plot(report["recipes"]).save(arguments.plot)


def curve(changes: dict[str, Any], arguments: argparse.Namespace) -> list[dict[str, float]]:
    """What the judge sees after so many steps, the mean over the prompts."""
    wanted = prompts()
    painted = range(0, len(wanted), arguments.every_nth)
    looks = [look for k in painted for look in painting(wanted, k, changes, arguments)]
    at = sorted({look["step"] for look in looks})
    rows = [[look for look in looks if look["step"] == step] for step in at]
    return [{key: round(sum(look[key] for look in row) / len(row), 4) for key in row[0]} for row in rows]


def painting(wanted: Any, k: int, changes: dict[str, Any], arguments: argparse.Namespace) -> list[dict[str, float]]:
    """One picture, looked at on the way."""
    from judge import load_judge

    from vqclip_nb import Settings
    from vqclip_nb.session import begin

    judge, candidates, looks, spent = load_judge(), [scene for _, scene in wanted], [], 0.0
    settings = Settings(**{"prompt": caption(wanted[k][1]), "steps": arguments.steps, "every": 100_000, **changes})
    run = begin(settings)
    for step in range(1, arguments.steps + 1):
        start = time.perf_counter()
        run.step()
        spent += time.perf_counter() - start
        if step % arguments.look_every == 0 or step == arguments.steps:
            scores = judge.scores(run.picture().cpu(), candidates)[0]
            right, chance = float(scores.argmax() == k), float(scores.softmax(0)[k])
            looks.append({"step": step, "seconds": spent, "right": right, "chance": chance})
    return looks


def plot(recipes: dict[str, list[dict[str, float]]]) -> Any:
    """Two charts side by side: the judge's mean probability against steps, and against seconds."""
    from PIL import Image, ImageDraw

    width, height, edge = 620, 420, 50
    sheet = Image.new("RGB", (2 * width + 190, height), "white")
    pen = ImageDraw.Draw(sheet)
    for column, across in enumerate(("step", "seconds")):
        left, most = column * width + edge, max(row[across] for rows in recipes.values() for row in rows)
        tall, wide = height - 2 * edge, width - 2 * edge
        pen.rectangle((left, edge, left + wide, edge + tall), outline="#888888")
        for fifth in range(6):
            y = edge + tall * (1 - fifth / 5)
            pen.text((left - 24, y - 6), f"{fifth / 5:.1f}", fill="#444444")
            pen.line((left, y, left + wide, y), fill="#e4e4e4")
            pen.text((left + wide * fifth / 5 - 8, edge + tall + 6), f"{most * fifth / 5:.0f}", fill="#444444")
        pen.text((left, edge - 18), f"the judge's probability of the prompt, against {across}", fill="#222222")
        for index, rows in enumerate(recipes.values()):
            points = [(left + wide * row[across] / most, edge + tall * (1 - row["chance"])) for row in rows]
            pen.line(
                [(left, edge + tall), *points], fill=COLOURS[index % len(COLOURS)], width=2 + index // len(COLOURS)
            )
    for index, name in enumerate(recipes):
        y = edge + 18 * index
        pen.line((2 * width, y + 6, 2 * width + 24, y + 6), fill=COLOURS[index % len(COLOURS)], width=3)
        pen.text((2 * width + 32, y), name, fill="#222222")
    return sheet


if __name__ == "__main__":
    main()
