"""Perceptor names: `ViT-B/32:1 + RN50:0.5` read into names and weights. Needs no torch."""

import math
import re

_WEIGHT = re.compile(r":\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$", re.IGNORECASE)


def parse(text: str) -> dict[str, float]:
    """The weight of each perceptor, by name, in order: `name` or `name:weight`, joined by `+`.

    A weight is a number after the last colon; any other colon is part of the name, which may be a path. If a name
    occurs twice, the last weight counts. A perceptor of weight 0 only reports its loss; at least one must be above 0.
    Raises ValueError.
    """
    weights: dict[str, float] = {}
    for part in (part.strip() for part in text.split("+")):
        match = _WEIGHT.search(part)
        name, weight = (part[: match.start()].strip(), float(match[1])) if match else (part, 1.0)
        if not name:
            raise ValueError(f"perceptor must be names joined by +, each name or name:weight, got {text!r}")
        if not 0 <= weight < math.inf:
            number = match[1] if match else weight
            raise ValueError(f"perceptor: the weight of {name} must be above 0, or 0 to report alone, got {number}")
        weights[name] = weight
    if not any(weights.values()):
        raise ValueError(f"perceptor: one must have a weight above 0, to guide the painting, got {text!r}")
    return weights
