"""Every recipe has the same seconds of one core for the same twenty prompts; the judge says what is there after each.

`python benchmarks/time_to_quality.py --seconds N` runs it. The picture at a second is the last one finished by then.
Seconds are of processor time, for the steps alone: models are loaded before. All recipes paint a prompt before the next
prompt begins, and each picture is in the file once it is done: Ctrl-C ends it, and the same command continues.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import mean, median
from typing import Any

COUNT, OF = 20, 60
ORDER = [(start + 21 * third) % OF for start in range(0, OF // 3 + 1, 3) for third in range(3)][:COUNT]  # of each kind
THUMB = 80  # pixels
LABEL = 110
Looks = list[dict[str, float]]


def compare(recipes: Mapping[str, Mapping[str, Any]], arguments: argparse.Namespace) -> dict[str, Looks]:
    """Paint what the file lacks, then write table and sheet of the prompts that every recipe has painted; the curves.

    A recipe whose first step takes longer than all the seconds is timed once, and is in no curve.
    """
    import torch
    from demo_quality import prompts
    from judge import load_judge
    from scenes import caption

    from vqclip_nb.models.shared import keep_loaded

    torch.set_num_threads(1)
    expected, judge, seconds = prompts(), load_judge(), arguments.seconds
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "prompts": {}, "too slow": {}}
    if arguments.json.exists():
        report = json.loads(arguments.json.read_text())
    folder = arguments.json.with_suffix("")  # of thumbnails
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(KeyboardInterrupt), keep_loaded():
        for k in ORDER:
            painted = report["prompts"].setdefault(str(k), {})
            for name, changes in recipes.items():
                if len(painted.get(name, [])) >= seconds or report["too slow"].get(name, 0) > seconds:
                    continue
                seen = []
                settings = {"prompt": caption(expected[k][1]), "device": "cpu", "every": 100_000, **changes}
                for step, spent, picture in pictures_at_seconds(settings, seconds):
                    scores = judge.scores(picture, [scene for _, scene in expected])[0]
                    views = {"right": scores.argmax() == k, "chance": scores.softmax(0)[k], "likeness": scores[k]}
                    look = {"step": step, "seconds": spent, **{key: float(value) for key, value in views.items()}}
                    seen.append({key: round(value, 3) for key, value in look.items()})
                if step:
                    painted[name] = seen
                    keep(folder / f"{k}-{name}.png", picture)
                elif any(name in views_by_name for views_by_name in report["prompts"].values()):
                    raise SystemExit(f"{name} stalled at prompt {k}; the same command continues")
                else:
                    report["too slow"][name] = spent
                beside = arguments.json.with_suffix(".part")
                beside.write_text(json.dumps(report) + "\n")
                os.replace(beside, arguments.json)
                print(f"prompt {k}, {name}: likeness {seen[-1]['likeness']:.1f} after {step} steps", flush=True)
    complete = [
        k for k, looks in report["prompts"].items() if all(n in looks or n in report["too slow"] for n in recipes)
    ]
    curves = medians([report["prompts"][k] for k in complete], recipes, seconds)
    if arguments.table:
        arguments.table.write_text(table(curves, len(complete), report["too slow"]))
    if arguments.sheet:
        sheet(curves, complete, folder).save(arguments.sheet, quality=88)
    return curves


def pictures_at_seconds(settings: Mapping[str, Any], seconds: int) -> Iterator[tuple[int, float, Any]]:
    """(steps made, seconds spent, picture) for each second: the last picture that was finished by then."""
    from vqclip_nb import Settings
    from vqclip_nb.session import build_painting

    painting = build_painting(Settings(**settings))
    spent = last = 0.0
    shown = (0, 0.0, painting.picture())
    for second in range(1, seconds + 1):
        while spent + last <= second and painting.step_count < painting.settings.steps:
            start = time.process_time()
            painting.hand_over()
            painting.step()
            last = time.process_time() - start
            spent += last
        if spent <= second:  # a step that took longer than the one before may end too late
            shown = (painting.step_count, spent, painting.picture())
        yield shown if shown[0] else (0, spent, shown[2])  # no step is done yet: how long the first one takes


def keep(path: Path, picture: Any) -> None:
    """The first picture of a batch (n, 3, height, width) in [0, 1], as a thumbnail."""
    from vqclip_nb import images

    images.to_pils(picture)[0].resize((THUMB, THUMB)).save(path)


def medians(painted: Sequence[Mapping[str, Looks]], names: Iterable[str], seconds: int) -> dict[str, Looks]:
    """For each recipe, what the judge sees after each second: the share of right ones, and the prompts' medians."""
    curves = {}
    for name in (name for name in names if painted and name in painted[0]):
        looks = zip(*(each[name][:seconds] for each in painted), strict=True)
        curves[name] = [
            {key: (mean if key == "right" else median)(each[key] for each in look) for key in look[0]} for look in looks
        ]
    return curves


def table(curves: Mapping[str, Looks], prompts: int, too_slow: Mapping[str, float]) -> str:
    """Markdown: the recipes, the likest first."""
    seconds = len(next(iter(curves.values())))
    halves = (seconds // 2, seconds)
    at = [f"{what} at {second} s" for what in ("right", "likeness") for second in halves]
    lines = [
        f"| {prompts} prompts | steps in {seconds} s | {' | '.join(at)} | half are right after |",
        "|---" * 7 + "|",
    ]
    for name, looks in sorted(curves.items(), key=lambda item: -item[1][-1]["likeness"]):
        right = [f"{looks[second - 1]['right']:.0%}" for second in halves]
        like = [f"{looks[second - 1]['likeness']:.1f}" for second in halves]
        first = next(
            (f"{s} s" for s in range(1, seconds + 1) if min(look["right"] for look in looks[s - 1 :]) >= 0.5), ""
        )
        lines.append(f"| {name} | {looks[-1]['step']:.0f} | {' | '.join(right + like)} | {first} |")
    lines += [f"| {name} | none: one takes {spent:.0f} s | | | | | |" for name, spent in too_slow.items()]
    return "\n".join(lines) + "\n"


def sheet(curves: Mapping[str, Looks], prompts: Sequence[str], folder: Path) -> Any:
    """The last picture of each recipe for each prompt, a row for each recipe."""
    from PIL import Image, ImageDraw, ImageFont

    shown = [k for k in prompts if all((folder / f"{k}-{name}.png").exists() for name in curves)]
    whole = Image.new("RGB", (LABEL + THUMB * len(shown), THUMB * len(curves)), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(14)
    for row, name in enumerate(sorted(curves, key=lambda name: -curves[name][-1]["likeness"])):
        pen.text((LABEL - 8, THUMB * row + THUMB // 2), name, fill="#222222", font=font, anchor="rm")
        for column, k in enumerate(shown):
            with Image.open(folder / f"{k}-{name}.png") as picture:
                whole.paste(picture, (LABEL + THUMB * column, THUMB * row))
    return whole
