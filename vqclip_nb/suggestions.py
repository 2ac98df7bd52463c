"""Suggestions: the chips, surprises and examples of suggestions.toml."""

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any


@cache
def words() -> dict[str, Any]:
    """What suggestions.toml holds."""
    return tomllib.loads(resources.files(__package__).joinpath("suggestions.toml").read_text(encoding="utf-8"))


def vocabulary(perceptor: str) -> str:
    """The vocabulary that suits a perceptor: `demo`, or `any`."""
    return "demo" if perceptor.strip() == "demo" else "any"


def surprise(grammar: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """A sentence from a grammar: one of its `sentence`, every {name} replaced till none is left."""
    text = "{sentence}"
    while hole := re.search(r"\{(\w+)\}", text):
        text = text[: hole.start()] + rng.choice(grammar[hole[1]]) + text[hole.end() :]
    return re.sub(r"\ba (?=[aeio])", "an ", text)


def has(prompt: str, modifier: str) -> bool:
    """Whether a modifier stands in a prompt as a part of its own, with a weight or without."""
    return re.search(_part(modifier), prompt, re.IGNORECASE) is not None


def toggled(prompt: str, modifier: str) -> str:
    """A prompt without a modifier that it has, or with one more, after a comma, or a pipe where there are weights."""
    if has(prompt, modifier):
        return re.sub(_part(modifier), "", prompt, count=1, flags=re.IGNORECASE).strip(" ,|")
    has_weights = "|" in prompt or re.search(r":\s*[-+.\d]", prompt)
    return f"{prompt}{' | ' if has_weights else ', '}{modifier}" if prompt.strip() else modifier


def _part(modifier: str) -> str:
    """A modifier between commas or pipes; a weight and a stop belong to it only where it stands alone."""
    number = r"\s*:\s*[-+]?[\d.]+(?:e[-+]?\d+)?"
    alone = rf"(?:^|\s*\|)\s*{re.escape(modifier)}(?:{number}){{1,2}}(?=\s*(?:\||$))"
    after_comma = rf"\s*,\s*{re.escape(modifier)}(?=\s*(?:[,|:]|$))"
    return rf"(?:{alone}|{after_comma}|(?:^|\s*\|)\s*{re.escape(modifier)}(?=\s*(?:[,|]|$)))"
