"""Prompts of other tools, converted to prompts here."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vqclip_nb.errors import SettingsError
from vqclip_nb.escapes import visible
from vqclip_nb.prompts import Prompt, parse_picture
from vqclip_nb.schedules import MOST_KEYFRAMES, Schedule, value_at

MOST_WORDS = 50  # words of a story at a time, which fit into CLIP's 77 tokens
_LONGEST_NAME = 200  # bytes; leaves room for suffixes


def parse_phrases(text: str) -> list[Prompt]:
    """Parse `text:weight:stop | ...` as the notebooks do: numbers after the last two colons, all else text."""
    return [parse_weighted(part.strip()) for part in text.split("|") if part.strip()]


def parse_weighted(text: str) -> Prompt:
    """Parse `text`, `text:weight` or `text:weight:stop`. If a part after a colon is not a number, it is text."""
    words = text
    numbers: list[float] = []
    while len(numbers) < 2 and ":" in words:
        before, _, last = words.rpartition(":")
        try:
            number = float(last)
        except ValueError:
            break
        if math.isnan(number):
            break
        words, numbers = before, [number, *numbers]
    if not words.strip():
        return Prompt(text.strip())
    weight = numbers[0] if numbers else 1.0
    stop = numbers[1] if len(numbers) > 1 else -math.inf
    return Prompt(words.strip(), weight, stop)


def file_name(text: str) -> str:
    """A text as a file name, with `_` for spaces, without folders, and valid on every system."""
    name = re.sub(r'[/\\:*?"<>|]', "-", visible(text.replace(" ", "_"))).strip("-_.")
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore") or "picture"


def story_parts(text: str, start: int, more: int, separator: str | None) -> list[str]:
    """The parts of Deep Daze's story, split at separators, or else a window of words that grows and then slides."""
    if separator and separator in text:
        return [part.strip() for part in text.split(separator) if part.strip()]
    words = text.split()
    ends = [*range(start, len(words), more), len(words)]
    return [" ".join(words[max(0, end - MOST_WORDS) : end]) for end in ends]


def parse_plain(text: str) -> list[Prompt]:
    """Parse texts joined by `|`, without weights, as Big Sleep does."""
    return [Prompt(part.strip()) for part in text.split("|") if part.strip()]


def join_prompts(prompts: Sequence[Prompt]) -> str:
    """Prompts as one line of text."""
    return " | ".join(map(str, prompts))


def noise_prompts(seeds: Sequence[int], weights: Sequence[float]) -> dict[str, Any]:
    """The setting `noise_prompts`; a missing weight is 1. Raises SettingsError for a weight without a seed."""
    if len(weights) > len(seeds):
        raise SettingsError(f"--noise_prompt_weights needs a seed for each weight, got {len(weights)} and {len(seeds)}")
    pairs = zip(seeds, (*weights, *[1.0] * (len(seeds) - len(weights))), strict=True)
    return {"noise_prompts": " | ".join(f"{seed}:{weight:g}" for seed, weight in pairs)} if seeds else {}


def story(parts: Sequence[Sequence[Prompt]], every: int, steps: int, pictures: Sequence[str] = ()) -> dict[str, Any]:
    """Settings in which groups of prompts follow each other in a cycle, each for `every` steps.

    The pictures have weight while the first group has. Raises SettingsError if there are too many keyframes.
    """
    windows = -(-steps // every)
    if windows > MOST_KEYFRAMES:
        fewest = -(-steps // MOST_KEYFRAMES)
        raise SettingsError(f"a story of {windows:,} changes is too long; show each phrase for {fewest} steps or more")
    lines = []
    for number, group in enumerate(parts):
        own = [index % len(parts) == number for index in range(windows)]
        lines += [replace(prompt, weight=_during(own, every, value_at(prompt.weight, 0))) for prompt in group]
    first = [index == 0 for index in range(windows)]
    image_prompts = [parse_picture(name) for name in pictures]
    picture_lines = [
        str(replace(each, weight=_during(first, every, value_at(each.weight, 0)))) for each in image_prompts
    ]
    return {"prompt": join_prompts(lines)} | ({"image_prompts": tuple(picture_lines)} if picture_lines else {})


def _during(windows: Sequence[bool], every: int, weight: float) -> float | Schedule:
    """A schedule with the weight in the windows of `every` steps that are True, and 0 in the others."""
    if all(windows):
        return weight
    changes = [index for index, own in enumerate(windows) if not index or own != windows[index - 1]]
    return Schedule(tuple((index * every, weight if windows[index] else 0.0) for index in changes), "stepped")
