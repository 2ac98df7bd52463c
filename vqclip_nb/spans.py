"""Spans: the part of a run that a prompt is for, written behind its text. Prompts that follow each other are a story.

    a house by the sea @ 0-40% | the same house in snow @ 40-100%
    a castle @ 0-50% fade 20% eased

Around the edge of a span the prompt's weight rises from 0, or falls to it, within `fade`, a share of the run. So where
one span ends and the next begins, both fade into each other.
"""

import re
from dataclasses import dataclass

from vqclip_nb.errors import SettingsError

EXAMPLE = "a house @ 0-40% | a house in snow @ 40-100%"
DEFAULT_FADE = 0.05
_PERCENT = r"(\d{1,3}(?:\.\d{1,6})?)"
_SPAN = re.compile(
    rf"(?P<text>.*\S)\s*@\s*{_PERCENT}\s*%?\s*(?:-|–|to)\s*{_PERCENT}\s*%"
    rf"(?:\s+fade\s+{_PERCENT}\s*%)?(?:\s+(?P<eased>eased|linear))?\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Span:
    """From `begin` to `end`, with edges of the width `fade`: shares of the run, in [0, 1]. eased: smooth edges.

    `str(span)` is written so that `split` reads it back. Raises SettingsError for a span without length.
    """

    begin: float
    end: float
    fade: float = DEFAULT_FADE
    eased: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end <= 1:
            order = "must begin before it ends, within 0 and 100 %"
            raise SettingsError(f"a span of the run {order}, got {self}; such as {EXAMPLE}")
        if self.fade > 1:
            raise SettingsError(f"fade must be from 0 to 100 %, got {self}")

    def __str__(self) -> str:
        fade = "" if self.fade == DEFAULT_FADE else f" fade {100 * self.fade:.8g}%"
        return f"@ {100 * self.begin:.8g}-{100 * self.end:.8g}%{fade}{' eased' if self.eased else ''}"

    def share(self, progress: float) -> float:
        """How much of the prompt's weight holds at this share of the run, in [0, 1]."""
        if not self.fade:
            return float(self.begin <= progress and (progress < self.end or self.end == 1))
        rise = self._edge(progress - self.begin) if self.begin > 0 else 1.0
        fall = self._edge(self.end - progress) if self.end < 1 else 1.0
        return min(rise, fall)

    def _edge(self, beyond: float) -> float:
        """The height of an edge so far beyond its middle."""
        height = min(1.0, max(0.0, beyond / self.fade + 0.5))
        return height * height * (3 - 2 * height) if self.eased else height


def split(text: str) -> tuple[str, Span | None]:
    """A text without the span at its end, and the span. Raises SettingsError for a span without length."""
    if (match := _SPAN.fullmatch(text)) is None:
        return text, None
    begin, end, fade = (None if number is None else float(number) / 100 for number in match.group(2, 3, 4))
    assert begin is not None
    assert end is not None
    eased = (match["eased"] or "").lower() == "eased"
    return match["text"], Span(begin, end, DEFAULT_FADE if fade is None else fade, eased)


def gap(spans: list[Span]) -> tuple[float, float] | None:
    """The first part of the run that no span holds, or None."""
    reached = 0.0
    for span in sorted(spans, key=lambda each: each.begin):
        if span.begin > reached + 1e-9:
            return reached, span.begin
        reached = max(reached, span.end)
    return (reached, 1.0) if reached < 1 else None
