"""Which settings get to a good picture first: judged quality against steps and against seconds.

    python benchmarks/time_to_quality.py --json FILE --plot FILE.png [--every-nth N] [--steps N] [--only NAME ...]
    python benchmarks/time_to_quality.py --seconds 10 --json FILE --plot FILE.png --sheet FILE.jpg --table FILE.md

The demo pair paints prompts that no training saw, with one setting after another changed from the defaults, and the
judge, which never guides a painting, looks at the picture on the way: `right` is the share that it gives its own
prompt among the sixty, `chance` the mean probability that it gives it, `likeness` the mean log-probability of all that
the prompt says, each thing beside all others that it could be: it still rises where the other two are at 1. Seconds
are those of one processor core, for the steps alone. Two processes paint, each on one core. A recipe that the file has
already is not painted again, so that what was interrupted goes on.

With `--seconds` every recipe and canvas has so many seconds of one core for each of twenty prompts, and the judge looks
at the picture that is there after each second (`equal_seconds.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "training"), str(ROOT / "benchmarks")]

import equal_seconds  # noqa: E402
from demo_quality import prompts  # noqa: E402
from scenes import caption  # noqa: E402

from vqclip_nb import presets  # noqa: E402

DEFAULT = "default"


def on_demo_models(preset: str) -> dict[str, Any]:
    """A preset's settings, but for its models and its size."""
    settings = {
        name: value for name, value in presets.load(preset).settings.items() if name not in ("perceptor", "size")
    }
    return settings | ({"canvas": "vqgan/demo"} if settings["canvas"].startswith("vqgan") else {})


FAMILIES: dict[str, dict[str, dict[str, Any]]] = {
    "cutouts per step": {f"cutn {cutn}": {"cutn": cutn} for cutn in (4, 8, 32, 64)},
    "step size": {f"lr {lr}": {"lr": lr} for lr in (0.03, 0.05, 0.2, 0.4)},
    "average": {f"average {average}": {"average": average} for average in (0.0, 0.8, 0.95)},
    "size": {f"size {side}": {"size": (side, side)} for side in (96, 128, 256)},
    # `coarse` is no setting: so many steps at half the side, then its codes, or its picture, enlarged
    "coarse to fine": {
        "coarse 20": {"coarse": 20},
        "coarse 40": {"coarse": 40},
        "coarse 80": {"coarse": 80},
        "coarse 40, picture": {"coarse": 40, "by": "picture"},
    },
    "cutouts": {"crops": {"cutouts": "crops"}, "published cutouts": {"cutouts": "pooling-published"}},
    "steps between encodings": {f"tidy {every}": {"tidy": every} for every in (0, 2, 6, 12)},
    "canvas": {
        **{canvas: {"canvas": canvas} for canvas in ("fourier", "pixels", "wavelets", "siren")},
        "codes drawn": {"codes": "multinomial"},
        "fourier, then vqgan": {"canvas": "fourier", "relay": "60:vqgan/demo"},
    },
    "recipe, by the demo models": {
        name: on_demo_models(name)
        for name in (
            *("crowson", "codebook", "pooling", "updated", "nerdyrodent", "mse"),
            *("deepdaze", "aphantasia", "pixray", "pytti"),  # Big Sleep has no demo model
        )
    },
}
RECIPES: dict[str, dict[str, Any]] = {DEFAULT: {}} | {n: c for family in FAMILIES.values() for n, c in family.items()}
LOWEST = -12.0  # likeness that the plot still shows
COLOURS = (
    *("#1b6ca8", "#d1495b", "#3a7d44", "#edae49", "#7b4fa3"),
    *("#00798c", "#b8651b", "#8f9a2f", "#d16ba5", "#5c5c5c"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--look-every", type=int, default=10)
    parser.add_argument("--every-nth", type=int, default=1, help="paint only every n-th of the sixty prompts")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seconds", type=int, metavar="N", help="compare recipes and canvases at equal seconds")
    parser.add_argument("--sheet", type=Path, help="with --seconds: a sheet of the pictures")
    parser.add_argument("--table", type=Path, help="with --seconds: the table, as Markdown")
    arguments = parser.parse_args()
    if arguments.seconds:
        curves = equal_seconds.compare({name: RECIPES[name] for name in compared(arguments.only)}, arguments)
        if arguments.plot:
            plot(curves, columns=("seconds",), lowest=-30.0).save(arguments.plot)
        return

    asked = {name: getattr(arguments, name) for name in ("steps", "look_every", "every_nth")}
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), **asked, "recipes": {}}
    if arguments.json.exists():
        before = json.loads(arguments.json.read_text())
        if any(before[name] != value for name, value in asked.items()):
            parser.error(f"{arguments.json} was made with other --steps, --look-every or --every-nth; move it away")
        report["recipes"] = before["recipes"]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        for name in arguments.only:
            if name not in report["recipes"]:
                report["recipes"][name] = curve(RECIPES[name], arguments, pool)
                arguments.json.write_text(json.dumps(report, indent=2) + "\n")
            last = report["recipes"][name][-1]
            print(
                f"{name}: right {last['right']:.2f}, chance {last['chance']:.2f}, {last['seconds']:.0f} s", flush=True
            )
    if arguments.plot:
        plot(report["recipes"]).save(arguments.plot)


def compared(asked: list[str]) -> list[str]:
    """The recipes that are compared at equal seconds, of those asked for."""
    canvases, named = ("fourier", "pixels", "wavelets", "siren"), FAMILIES["recipe, by the demo models"]
    return [name for name in (DEFAULT, *canvases, *named) if name in asked]


def curve(changes: dict[str, Any], arguments: argparse.Namespace, pool: ProcessPoolExecutor) -> list[dict[str, float]]:
    """What the judge sees after so many steps, the mean over the prompts."""
    work = partial(looks, changes=changes, steps=arguments.steps, look_every=arguments.look_every)
    seen = list(pool.map(work, range(0, len(prompts()), arguments.every_nth)))
    rows = list(zip(*seen, strict=True))
    return [{key: round(sum(look[key] for look in row) / len(row), 4) for key in row[0]} for row in rows]


def looks(k: int, *, changes: dict[str, Any], steps: int, look_every: int) -> list[dict[str, float]]:
    """One prompt's picture, looked at on the way."""
    from judge import load_judge

    scenes = prompts()
    judge, candidates, seen, spent = load_judge(), [scene for _, scene in scenes], [], 0.0
    painted = stepping({"prompt": caption(scenes[k][1]), "device": "cpu", "every": 100_000, **changes}, steps)
    for step in range(1, steps + 1):
        start = time.process_time()
        painting = next(painted)
        spent += time.process_time() - start
        if step % look_every == 0 or step == steps:
            scores = judge.scores(painting.picture(), candidates)[0]
            payload = {"right": scores.argmax() == k, "chance": scores.softmax(0)[k], "likeness": scores[k]}
            seen.append({"step": step, "seconds": spent, **{name: float(value) for name, value in payload.items()}})
    return seen


def stepping(recipe: dict[str, Any], steps: int) -> Iterator[Any]:
    """A painting after each of its steps; of a coarse one first the small painting, then the one it becomes."""
    import torch

    from vqclip_nb import Settings
    from vqclip_nb.session import build_painting

    coarse, by = recipe.pop("coarse", 0), recipe.pop("by", "codes")
    settings = Settings(**recipe, steps=steps)
    painting = build_painting(settings.replace(size=[side // 2 for side in settings.size]) if coarse else settings)
    for step in range(steps):
        if coarse and step == coarse:
            small, painting = painting, build_painting(settings)
            with torch.no_grad():
                if by == "picture":
                    painting.canvas.start_from(small.picture())
                else:
                    z = torch.nn.functional.interpolate(small.canvas.z, painting.canvas.z.shape[-2:], mode="bilinear")
                    painting.canvas.z.copy_(z)
        painting.hand_over()
        painting.step()
        yield painting


def plot(
    recipes: dict[str, list[dict[str, float]]], columns: Sequence[str] = ("step", "seconds"), lowest: float = LOWEST
) -> Any:
    """The pictures' likeness to their prompts, a row for each family beside the default: against steps, and seconds."""
    from PIL import Image, ImageDraw, ImageFont

    families = {name: [each for each in family if each in recipes] for name, family in FAMILIES.items()}
    families = {name: drawn for name, drawn in families.items() if drawn} or {DEFAULT: []}
    width, left, top, legend = 440, 50, 34, 190
    height = max(240, top + 22 * (1 + max(map(len, families.values()))))
    sheet = Image.new("RGB", (len(columns) * width + legend, height * len(families)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    wide, tall = width - left - 20, height - top - 40
    for row, (family, names) in enumerate(families.items()):
        drawn = {name: recipes[name] for name in (DEFAULT, *names) if name in recipes}
        inks = dict(zip(drawn, ("#111111", *COLOURS) if DEFAULT in drawn else COLOURS, strict=False))
        for column, across in enumerate(columns):
            x, y = column * width + left, row * height + top
            most = max(look[across] for rows in drawn.values() for look in rows)
            pen.text((x, y - 20), f"{family}: likeness, against {across}", fill="#222222", font=font)
            pen.rectangle((x, y, x + wide, y + tall), outline="#888888")
            for quarter in range(5):
                level, place = y + tall * (1 - quarter / 4), x + wide * quarter / 4
                pen.line((x, level, x + wide, level), fill="#e4e4e4")
                message = f"{lowest * (4 - quarter) / 4 + 0.0:g}"
                pen.text((x - 8, level), message, fill="#444444", font=font, anchor="rm")
                pen.text((place, y + tall + 6), f"{most * quarter / 4:.3g}", fill="#444444", font=font, anchor="ma")
            for name, rows in drawn.items():
                down = [min(look["likeness"] / lowest, 1) for look in rows]
                points = [(x + wide * look[across] / most, y + tall * d) for look, d in zip(rows, down, strict=True)]
                pen.line([(x, y + tall), *points], fill=inks[name], width=2, joint="curve")
        for index, name in enumerate(drawn):
            y = row * height + top + 10 + 22 * index
            x = len(columns) * width
            pen.line((x, y, x + 24, y), fill=inks[name], width=3)
            pen.text((x + 32, y), name, fill="#222222", font=font, anchor="lm")
    return sheet


if __name__ == "__main__":
    main()
