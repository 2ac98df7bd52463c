"""Spans: the part of a run that a prompt applies to, written after its text. Prompts in sequence are a story.

    a house by the sea @ 0-40% | the same house in snow @ 40-100%
    a castle @ 0-50% fade 20% eased            a castle @ 20-50% fade 0-10%

At the edges of a span the prompt's weight rises from 0 or falls to 0 within `fade`, a share of the run; two numbers are
for the first and the second edge. Where one span ends and the next begins, the prompts fade into each other.
"""

import re
from dataclasses import dataclass

from vqclip_nb.errors import SettingsError

EXAMPLE = "a house @ 0-40% | a house in snow @ 40-100%"
DEFAULT_FADE = 0.05
_PERCENT = r"(\d{1,3}(?:\.\d{1,6})?)"
_SPAN = re.compile(
    rf"(?P<text>.*\S)\s*@\s*{_PERCENT}\s*%?\s*(?:-|–|to)\s*{_PERCENT}\s*%"
    rf"(?:\s+fade\s+{_PERCENT}\s*(?:%?\s*-\s*{_PERCENT}\s*)?%)?(?:\s+(?P<eased>eased|linear))?\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Span:
    """From `begin` to `end`, shares of the run in [0, 1], with edges of the widths `fade`. eased: smooth edges.

    `split` reads `str(span)` back. Raises SettingsError for an empty span.
    """

    begin: float
    end: float
    fade: tuple[float, float] = (DEFAULT_FADE, DEFAULT_FADE)
    eased: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end <= 1:
            order = "must begin before it ends, within 0 and 100 %"
            raise SettingsError(f"a span of the run {order}, got {self}; such as {EXAMPLE}")
        if max(self.fade) > 1:
            raise SettingsError(f"fade must be from 0 to 100 %, got {self}")

    def __str__(self) -> str:
        percents = dict.fromkeys(f"{100 * fade:.8g}" for fade in self.fade)
        fade = "" if self.fade == (DEFAULT_FADE, DEFAULT_FADE) else f" fade {'-'.join(percents)}%"
        return f"@ {100 * self.begin:.8g}-{100 * self.end:.8g}%{fade}{' eased' if self.eased else ''}"

    def share(self, progress: float) -> float:
        """The factor of the prompt's weight at this share of the run, in [0, 1]."""
        rise = self._risen(progress - self.begin, self.fade[0]) if self.begin > 0 else 1.0
        fall = 1 - self._risen(progress - self.end, self.fade[1]) if self.end < 1 else 1.0
        return min(rise, fall)

    def _risen(self, beyond: float, fade: float) -> float:
        """The height, in [0, 1], of an edge of width `fade` at the distance `beyond` from its middle."""
        if not fade:
            return float(beyond >= 0)
        height = min(1.0, max(0.0, beyond / fade + 0.5))
        return height * height * (3 - 2 * height) if self.eased else height


def split(text: str) -> tuple[str, Span | None]:
    """Split a text into the rest and the span at its end, or None. Raises SettingsError for an empty span."""
    if (match := _SPAN.fullmatch(text)) is None:
        return text, None
    begin, end = (float(number) / 100 for number in match.group(2, 3))
    first = DEFAULT_FADE if match[4] is None else float(match[4]) / 100
    second = first if match[5] is None else float(match[5]) / 100
    return match["text"], Span(begin, end, (first, second), (match["eased"] or "").lower() == "eased")


def gap(spans: list[Span]) -> tuple[float, float] | None:
    """The first part of the run that no span covers, or None."""
    end = 0.0
    for span in sorted(spans, key=lambda each: each.begin):
        if span.begin > end + 1e-9:
            return end, span.begin
        end = max(end, span.end)
    return (end, 1.0) if end < 1 else None
