"""Extra prompts: templates for texts, noise to paint towards, and words that mean writing. Needs no torch."""

import math
import re

WRITING = ("text", "words", "letters", "handwriting", "a caption", "a watermark")  # what `textoff` pushes away from
_NOISE = re.compile(r"(?P<seed>\d{1,10})\s*(?::\s*(?P<weight>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?))?", re.IGNORECASE)


def parse_templates(text: str) -> tuple[str, ...]:
    """`a photo of {} | a painting of {}` -> its parts; `{}` alone where there are none. Raises ValueError."""
    templates = tuple(part.strip() for part in text.split("|") if part.strip())
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"templates must hold {{}} where the text goes, got {template!r}; as in a photo of {{}}")
    return templates or ("{}",)


def parse_noise(text: str) -> list[tuple[int, float]]:
    """`12:0.5 | 34` -> the seed and the weight of each, 1 where it is left out. Raises ValueError."""
    pairs = []
    for part in (part.strip() for part in text.split("|")):
        if not part:
            continue
        match = _NOISE.fullmatch(part)
        weight = float(match["weight"] or 1) if match else math.nan
        if match is None or not math.isfinite(weight):
            raise ValueError(f"noise_prompts must be seed:weight, joined by |, got {part!r}; such as 12:0.5 | 34:-0.2")
        pairs.append((int(match["seed"]), weight))
    return pairs
