"""Suggestions: the modifiers, random sentences and examples of suggestions.toml."""

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any


@cache
def words() -> dict[str, Any]:
    """The content of suggestions.toml."""
    return tomllib.loads(resources.files(__package__).joinpath("suggestions.toml").read_text(encoding="utf-8"))


def vocabulary(perceptor: str) -> str:
    """The vocabulary that suits a perceptor: `demo`, or `any`."""
    return "demo" if perceptor.strip() == "demo" else "any"


def surprise(grammar: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """A random sentence of a grammar: one of its `sentence`, with every {name} replaced until none is left."""
    text = "{sentence}"
    while hole := re.search(r"\{(\w+)\}", text):
        text = text[: hole.start()] + rng.choice(grammar[hole[1]]) + text[hole.end() :]
    return re.sub(r"\ba (?=[aeio])", "an ", text)


def has(prompt: str, modifier: str) -> bool:
    """Whether a prompt has a modifier as a part of its own, with or without a weight."""
    return re.search(_part(modifier), prompt, re.IGNORECASE) is not None


def toggle(prompt: str, modifier: str) -> str:
    """Remove a modifier from a prompt, or append it, after a comma, or after a pipe if the prompt has weights."""
    if has(prompt, modifier):
        return re.sub(_part(modifier), "", prompt, count=1, flags=re.IGNORECASE).strip(" ,|")
    has_weights = "|" in prompt or re.search(r":\s*[-+.\d]", prompt)
    return f"{prompt}{' | ' if has_weights else ', '}{modifier}" if prompt.strip() else modifier


def _part(modifier: str) -> str:
    """A pattern of a modifier between commas or pipes; a weight and a stop belong to it only between pipes."""
    number = r"\s*:\s*[-+]?[\d.]+(?:e[-+]?\d+)?"
    alone = rf"(?:^|\s*\|)\s*{re.escape(modifier)}(?:{number}){{1,2}}(?=\s*(?:\||$))"
    after_comma = rf"\s*,\s*{re.escape(modifier)}(?=\s*(?:[,|:]|$))"
    return rf"(?:{alone}|{after_comma}|(?:^|\s*\|)\s*{re.escape(modifier)}(?=\s*(?:[,|]|$)))"
