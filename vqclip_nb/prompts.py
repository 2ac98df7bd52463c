r"""Prompts: what a person writes, `a castle:1.5 | fog:-0.3 | watercolor`, read into texts, weights and stops.

Each part is `text`, `text:weight` or `text:weight:stop` (the syntax of the 2021 notebooks). A weight may be keyframes:
`a castle:0:(1), 60:(0.2) | fog`. Between double quotes, or after a backslash, a colon and a pipe are letters like any
other; a URL stays whole.
"""

import math
import re
from dataclasses import dataclass

from vqclip_nb.errors import SettingsError
from vqclip_nb.schedules import Number, Schedule

_NUMBER = r"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|-inf)"
_KEYFRAMES = rf"(?P<keyframes>\d+\s*:\s*\(.*\))\s*(?::\s*(?P<stop>{_NUMBER}))?"
_WEIGHTS_FOLLOW = rf"\s*{_NUMBER}\s*(?::\s*{_NUMBER}\s*)?(?:\||$)"
_PIECE = re.compile(
    r'\\(?P<escaped>[:|"\\])'
    r'|"(?P<quoted>(?:\\.|[^"\\])*)"'
    r"|(?P<url>[a-z][a-z0-9+.-]*://"
    r'(?:[^\s|":/]+:\d{2,5}(?![\d.]))?'  # host:port
    rf'(?:[^\s|":]|:(?!{_WEIGHTS_FOLLOW}))*)'
    r"|(?P<mark>[:|])"
    r"|(?P<other>.)",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Prompt:
    """A text (or the name of a picture) and how strongly it pulls.

    `weight` below 0 pushes away. `stop` ends the pull once the signed distance is below it; -inf never does.
    `str(prompt)` is written so that `parse` reads it back.
    """

    text: str
    weight: Number = 1.0
    stop: float = -math.inf

    def __post_init__(self) -> None:
        weights = self.weight.numbers if isinstance(self.weight, Schedule) else (self.weight,)
        if any(map(math.isinf, weights)) or self.stop == math.inf:
            raise SettingsError(f"prompt {self.text!r} must have finite numbers, got {self.weight} and {self.stop:g}")

    def __str__(self) -> str:
        text = self.text
        if re.search(r'[:|"\\]', text):
            text = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
        weight, stop = (_written(number) for number in (self.weight, self.stop))
        if self.stop != -math.inf:
            return f"{text}:{weight}:{stop}"
        return text if self.weight == 1 else f"{text}:{weight}"


def parse(line: str, *, field: str = "prompt") -> tuple[Prompt, ...]:
    """Read `text:weight:stop | text ...`; parts that are blank are skipped.

    Raises SettingsError, naming `field`, when a weight or a stop is not a number, a text is missing or a quote is open.
    """
    parts: list[list[str]] = [[""]]
    for piece in _PIECE.finditer(line):
        letters = piece[0]
        if piece["mark"] == "|":
            parts.append([""])
        elif piece["mark"] == ":":
            parts[-1].append("")
        elif letters == '"':
            raise SettingsError(f'{field} has a quote that is never closed, got {line!r}; close it, or write \\"')
        elif piece["quoted"] is not None:
            parts[-1][-1] += re.sub(r"\\(.)", r"\1", piece["quoted"])
        else:
            parts[-1][-1] += piece["escaped"] or letters
    return tuple(_read(part, field) for part in parts if len(part) > 1 or part[0].strip())


def parse_picture(line: str, *, field: str = "image_prompts") -> Prompt:
    """Read `file`, `file:weight` or `file:weight:stop`; whatever is not a number stays part of the file's name."""
    match = re.fullmatch(rf"(.+?):{_KEYFRAMES}", line.strip(), re.DOTALL | re.IGNORECASE)
    if match is None:
        match = re.fullmatch(rf"(.+?)(?::({_NUMBER}))?(?::({_NUMBER}))?", line.strip(), re.DOTALL | re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{field} must name picture files, got {line!r}")
    name, weight, stop = match.groups()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    keyframes = Schedule.parse(weight, name=f"{field}: weight") if weight and "(" in weight else None
    return Prompt(name, keyframes or float(weight or 1), float(stop or -math.inf))


def _read(part: list[str], field: str) -> Prompt:
    """One part, split at its colons, as a Prompt."""
    text, *numbers = (words.strip() for words in part)
    whole = ":".join([text, *numbers])
    if not text:
        raise SettingsError(f"{field} has a weight without a text, got {whole!r}; write text:weight")
    remedy = f'to keep a colon in the text, quote it: "{whole}"'
    if match := re.fullmatch(_KEYFRAMES, ":".join(numbers), re.DOTALL | re.IGNORECASE):
        weight = Schedule.parse(match["keyframes"], name=f"{field}: weight")
        return Prompt(text, weight, float(match["stop"] or -math.inf))
    if len(numbers) > 2:
        raise SettingsError(f"{field} must be text:weight:stop, got {whole!r}; {remedy}")
    values = []
    for name, written in zip(("weight", "stop"), numbers, strict=False):
        if not re.fullmatch(_NUMBER, written, re.IGNORECASE):
            raise SettingsError(f"{field}: {name} must be a number, got {written!r} in {whole!r}; {remedy}")
        values.append(float(written))
    return Prompt(text, *values)


def _written(number: Number) -> str:
    if isinstance(number, Schedule):
        return str(number)
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)
