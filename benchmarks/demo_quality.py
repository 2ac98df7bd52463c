"""How good the demo models are: reconstruction, retrieval, and what independent judges see in painted pictures.

    python benchmarks/demo_quality.py --json FILE [--docs docs --sheet assets/contact-sheet.jpg]
    python benchmarks/demo_quality.py --things --json FILE [--docs docs --sheet assets/things.jpg]

With --things it is sixty pictures of things that people drew, and another judge; see demo_things.py.

Everything at the default settings. The prompts come from a fixed seed and from combinations that no training saw: 20
shapes, 20 landscapes, and 10 pairs of scenes that differ in the style word alone. The sheet
shows 24 of them, chosen by eye.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "training"))

import demo_things  # noqa: E402
from painted_sheet import contact_sheet, paint_all, write_answers  # noqa: E402
from scenes import EXTRA, MAIN, SHAPES, STYLES, Scene, caption, paint, scenes  # noqa: E402

THIRDS = ("shapes", "landscapes", "styles")
SHOWN = (13, 3, 4, 15, 12, 18, 55, 57, 22, 26, 41, 35, 48, 51, 37, 44, 45, 32, 28, 29, 24, 30, 21, 58)  # by eye
GOALS = {
    "psnr": 27.0,
    "perplexity": 256.0,
    "right_of_500": 0.80,
    "judge_on_scenes": 0.95,
    "right_of_60": 0.85,
    "each_third": 0.70,
}

PAGE = """# Sixty pictures and their judge

Painted at the default settings by
`python benchmarks/demo_quality.py --json benchmarks/results/demo-quality.json --docs docs`,
from combinations that no training saw. The judge is another network, trained on other pictures, that never guides a
painting; it names one of the sixty prompts for each picture.

![All sixty pictures](demo-quality.jpg)

"""


def prompts(seed: int = 2026) -> list[tuple[str, Scene]]:
    """60 (third, scene) with unequal attributes, all held out of training."""
    chosen: dict[Scene, str] = {}
    for shapes, third in ((1.0, "shapes"), (0.0, "landscapes")):
        for scene, _ in scenes(seed, held_out=True, shapes=shapes):
            if len([t for t in chosen.values() if t == third]) == 20:
                break
            chosen.setdefault(scene, third)
    for scene, rng in scenes(seed + 1, held_out=True, shapes=0.4):
        if len(chosen) == 60:
            break
        others = [replace(scene, style=style) for style in STYLES if style != scene.style]
        others = [other for other in others if other.held_out and other not in chosen]
        if others and scene not in chosen:
            chosen[scene] = chosen[others[rng.integers(len(others))]] = "styles"
    return [(third, scene) for scene, third in chosen.items()]


def held_out_pictures(seed: int, count: int, *, unequal: bool = False) -> tuple[np.ndarray, list[Scene]]:
    pictures, shown = [], []
    for scene, rng in scenes(seed, held_out=True):
        if len(shown) == count:
            return np.stack(pictures), shown
        if not (unequal and scene in shown):
            pictures.append(paint(scene, rng))
            shown.append(scene)
    raise AssertionError("scenes() never ends")


def reconstruction(pictures: np.ndarray) -> dict[str, float]:
    """Mean PSNR in dB of encode, quantise, decode, and the perplexity of the codes used."""
    import torch

    from vqclip_nb.gradients import nearest_codes
    from vqclip_nb.models import load_vqgan

    vqgan = load_vqgan("demo")
    used, ratios = torch.zeros(len(vqgan.codebook)), []
    with torch.no_grad():
        for picture in pictures:
            image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
            z = vqgan.encode(image * 2 - 1)
            index = nearest_codes(z, vqgan.codebook)  # (1, h, w)
            quantised = vqgan.codebook[index].permute(0, 3, 1, 2)
            error = ((vqgan.decode(quantised) + 1) / 2).clamp(0, 1) - image
            ratios.append(-10 * float(torch.log10(error.square().mean())))
            used += torch.bincount(index.flatten(), minlength=len(used))
    share = used / used.sum()
    return {"psnr": float(np.mean(ratios)), "perplexity": float(torch.exp(-(share * (share + 1e-12).log()).sum()))}


def fits(perceptor: list, pictures: np.ndarray, words: list[str]) -> np.ndarray:
    """How well each picture fits each text, as those that judge under one name see it together: (pictures, texts)."""
    import torch

    small = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    small = torch.nn.functional.interpolate(small, size=(perceptor[0].cut_size,) * 2, mode="area")
    with torch.no_grad():
        each = [torch.cat([p.encode_image(q) for q in small.split(100)]) @ p.encode_text(words).T for p in perceptor]
    return (sum(each) / len(each)).numpy()


def retrieval(pictures: np.ndarray, shown: list[Scene]) -> float:
    """The share of pictures whose own caption is the nearest of all the captions."""
    from vqclip_nb import perceptors

    nearest = fits(perceptors.load("demo"), pictures, [caption(scene) for scene in shown]).argmax(1)
    return float((nearest == np.arange(len(shown))).mean())


def one_word(pictures: np.ndarray, shown: list[Scene]) -> dict[str, float]:
    """The share of pictures whose caption is nearer than all those that name another shape, thing, or style in it."""
    from vqclip_nb import perceptors

    perceptor, right = perceptors.load("demo"), {}
    for name, attribute, options in (
        ("shape", "shape", SHAPES),
        ("thing", "main", [thing for thing in MAIN if thing not in (None, "boat", "house")]),  # of no colour
        ("beside", "extra", [thing for thing in EXTRA if thing not in (None, "flowers")]),
        ("style", "style", list(STYLES)),
    ):
        found = []
        for picture, scene in zip(pictures, shown, strict=True):
            if getattr(scene, attribute) not in options:
                continue
            words = [caption(replace(scene, **{attribute: option})) for option in options]
            nearest = fits(perceptor, picture[None], words).argmax()
            found.append(options[int(nearest)] == getattr(scene, attribute))
        right[f"one_word_{name}"] = float(np.mean(found))
    return right


def judge_on_scenes(pictures: np.ndarray, shown: list[Scene]) -> float:
    """The share of true scenes that the judge tells from 59 unequal others."""
    import torch
    from judge import load_judge

    judge, rng, right = load_judge(), np.random.default_rng(0), 0
    every = judge.scores(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255, shown)
    for index, scene in enumerate(shown):
        unequal = [other for other in range(len(shown)) if shown[other] != scene]
        right += bool(every[index, index] > every[index, rng.choice(unequal, 59, replace=False)].max())
    return right / len(shown)


def named(images: np.ndarray, asked: list[Scene]) -> dict[str, float]:
    """The share of painted pictures of which the judge, choosing freely, names the shape, and the main thing."""
    import torch
    from judge import load_judge
    from scenes import ATTRIBUTES, labels

    guesses = dict(
        zip(ATTRIBUTES, load_judge()(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255), strict=True)
    )
    truth = dict(zip(ATTRIBUTES, np.array([labels(scene) for scene in asked]).T, strict=True))
    out = {}
    for attribute in ("shape", "main"):
        there = np.array([getattr(scene, attribute) is not None for scene in asked])
        if there.any():
            same = guesses[attribute].argmax(1).numpy() == truth[attribute]
            out[f"judge_names_{attribute}"] = float(same[there].mean())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="folder for the contact sheet and the confusion table")
    parser.add_argument("--sheet", type=Path, help="file for the README's contact sheet, of those SHOWN")
    parser.add_argument("--things", action="store_true", help="paint drawn things; needs `python training/drawings.py`")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings other than the defaults")
    parser.add_argument("--every-nth", type=int, default=1, help="paint only every n-th prompt, for a quick look")
    args = parser.parse_args()

    if args.things:
        demo_things.main(args)
        return

    import torch
    from judge import load_judge

    pictures, shown = held_out_pictures(3, 500, unequal=True)
    report: dict = {**reconstruction(pictures[:200]), "right_of_500": retrieval(pictures, shown)}
    report |= one_word(pictures, shown)
    report["judge_on_scenes"] = judge_on_scenes(pictures, shown)
    print(json.dumps(report), flush=True)

    expected = prompts()
    changes = {key: json.loads(value) for key, value in (item.split("=", 1) for item in args.set)}
    painted = range(0, len(expected), args.every_nth)
    words = [caption(expected[k][1]) for k in painted]
    images = paint_all(words, changes)
    scores = load_judge().scores(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, [s for _, s in expected])
    picked = scores.argmax(1).tolist()
    right = [pick == k for pick, k in zip(picked, painted, strict=True)]
    report["right_of_60"] = float(np.mean(right))
    report |= named(images, [expected[k][1] for k in painted])
    for third in THIRDS:
        report[f"right_{third}"] = float(
            np.mean([r for r, k in zip(right, painted, strict=True) if expected[k][0] == third])
        )
    report["settings"] = changes
    report["goals"] = GOALS
    args.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    if args.sheet:
        shown = [painted.index(k) for k in SHOWN if k in painted]
        contact_sheet(images[shown], [words[k] for k in shown], 6).save(args.sheet, quality=90)
    write_answers(args.docs, "demo-quality", PAGE, images, words, [caption(expected[pick][1]) for pick in picked])


if __name__ == "__main__":
    main()
