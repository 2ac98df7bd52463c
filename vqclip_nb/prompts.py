r"""Prompts: what a person writes, `a castle:1.5 | fog:-0.3 | watercolor`, read into texts, weights and stops.

Each part is `text`, `text:weight` or `text:weight:stop` (the syntax of the 2021 notebooks). A weight may be keyframes,
`a castle:0:(1), 60:(0.2)`, or an expression in brackets, `a castle:(1 - s)`. A part of the picture (`regions`) and a
part of the run (`spans`) may follow the text: `a castle [0 0 50% 100%] @ 0-40%:1.5`. In double quotes, or after a
backslash, colons and pipes are plain letters; a URL stays whole.

What follows a colon is a weight only if it is a number that a person would mean as one. `Star Wars: Return of the
Sith`, `at 10:30`, `ratio 16:9` and `Blade Runner: 2049` are texts. `doubts` says where a reading may be wrong.
"""

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vqclip_nb import regions, spans
from vqclip_nb.errors import SettingsError
from vqclip_nb.regions import Region
from vqclip_nb.schedules import Number, Schedule
from vqclip_nb.spans import Span

_NUMBER = r"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|-inf)"
_KEYFRAMES = (
    r"(?P<keyframes>\d+\s*:\s*\(.*\)(?:\s*(?:linear|eased|stepped))?"
    r"|\((?=.*(?<![\w.])[ts](?!\w)).*\))"  # an expression, which holds t or s
    rf"\s*(?::\s*(?P<stop>{_NUMBER}))?"
)
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
    """A text (or the name of a picture) and its weight.

    A `weight` below 0 pushes away. The prompt has no effect while its signed distance is below `stop`; -inf disables
    this. `region` is a part of the picture, or None for all of it; `span` is a part of the run, or None for all of it.
    `parse` reads `str(prompt)` back.
    """

    text: str
    weight: Number = 1.0
    stop: float = -math.inf
    region: Region | None = None
    span: Span | None = None

    def __post_init__(self) -> None:
        weights = self.weight.numbers if isinstance(self.weight, Schedule) else (self.weight,)
        if any(map(math.isinf, weights)) or self.stop == math.inf:
            raise SettingsError(f"prompt {self.text!r} must have finite numbers, got {self.weight} and {self.stop:g}")

    def __str__(self) -> str:
        text = self.text
        plain = self.weight == 1 and self.stop == -math.inf
        unambiguous = plain or self.region or self.span
        ends_so = bool(regions.split(text)[1] or spans.split(text)[1])
        misread = ends_so or not (unambiguous or _is_weight(text, str(self.weight)))
        if misread or re.search(r'[:|"\\]', text):
            text = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
        text = " ".join([text, *(str(each) for each in (self.region, self.span) if each)])
        weight, stop = (_number_text(number) for number in (self.weight, self.stop))
        if self.stop != -math.inf:
            return f"{text}:{weight}:{stop}"
        return text if self.weight == 1 else f"{text}:{weight}"


def parse(line: str, *, field: str = "prompt") -> tuple[Prompt, ...]:
    """Read `text:weight:stop | text ...`; blank parts are skipped.

    Raises SettingsError, naming `field`, when a weight or a stop is not finite, a text is missing or a quote is not
    closed.
    """
    return tuple(prompt for prompt, _ in _readings(line, field))


def doubts(line: str, *, field: str = "prompt") -> list[str]:
    """A sentence for each part of a line whose reading may not be what the person meant. Raises what `parse` raises."""
    sentences = [doubt for _, doubt in _readings(line, field) if doubt]
    if "^" in line:
        story = shlex.quote(_story(line.split("^")))
        sentences.append(f"^ is plain text here; join prompts of one picture with |, and write a story as {story}")
    if match := re.match(r"\s*[./!](imagine|dream|paint)\s+(?=\S)", line, re.IGNORECASE):
        sentences.append(
            f"{match[0].strip()} is a word to a bot, and text here; leave it out: {shlex.quote(line[match.end() :])}"
        )
    prompt_spans = [prompt.span for prompt, _ in _readings(line, field)]
    if prompt_spans and None not in prompt_spans and (gap := spans.gap([span for span in prompt_spans if span])):
        sentences.append(f"no prompt pulls from {100 * gap[0]:.4g} to {100 * gap[1]:.4g} % of the run")
    return sentences


def _story(scenes: Sequence[str]) -> str:
    """Texts as a story in spans of equal length."""
    edges = [round(100 * index / len(scenes)) for index in range(len(scenes) + 1)]
    parts = zip(scenes, edges, edges[1:], strict=False)
    return " | ".join(f"{scene.strip()} @ {begin}-{end}%" for scene, begin, end in parts)


@dataclass
class _Piece:
    """The text between two colons. quoted: whether it ends with a quoted or escaped letter."""

    text: str = ""
    quoted: bool = False


@lru_cache(maxsize=256)
def _readings(line: str, field: str) -> tuple[tuple[Prompt, str], ...]:
    """Each part's prompt, with a sentence if its reading is doubtful, or "". Cached: a line is read several times."""
    parts = [[_Piece()]]
    for match in _PIECE.finditer(line):
        letters, last = match[0], parts[-1][-1]
        if match["mark"] == "|":
            parts.append([_Piece()])
        elif match["mark"] == ":":
            parts[-1].append(_Piece())
        elif letters == '"':
            example = shlex.quote(f'"{line.replace(letters, "").strip()}"')
            raise SettingsError(f"{field} has a quote that is never closed, got {line!r}; close it, as in {example}")
        elif match["quoted"] is not None:
            last.text, last.quoted = last.text + re.sub(r"\\(.)", r"\1", match["quoted"]), True
        else:
            last.text += match["escaped"] or letters
            last.quoted = bool(match["escaped"]) or (last.quoted and letters.isspace())
    meant = (part for part in parts if len(part) > 1 or part[0].text.strip() or part[0].quoted)
    return tuple(_read(part, field) for part in meant)


def parse_picture(line: str, *, field: str = "image_prompts") -> Prompt:
    """Read `file`, `file:weight` or `file:weight:stop`; anything that is not a number is part of the file's name."""
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


def _read(part: Sequence[_Piece], field: str) -> tuple[Prompt, str]:
    """One part, split at its colons, as a Prompt, and a doubt about it, or ""."""
    whole = ":".join(piece.text for piece in part).strip()
    if not part[0].text.strip():
        raise SettingsError(f"{field} has a weight without a text, got {whole!r}; write text:weight, as in fog:-0.3")
    for begin in range(1, len(part)):  # keyframes hold colons of their own
        rest = ":".join(piece.text for piece in part[begin:]).strip()
        if match := re.fullmatch(_KEYFRAMES, rest, re.DOTALL | re.IGNORECASE):
            weight = Schedule.parse(match["keyframes"], name=f"{field}: weight")
            return Prompt(weight=weight, stop=float(match["stop"] or -math.inf), **_parse_parts(part[:begin])), ""
    count = 0
    while count < len(part) - 1 and _is_number(part[-1 - count].text):
        count += 1
    if count > 2:
        example = shlex.quote(f'"{_join(part[:-2])}":{part[-2].text.strip()}:{part[-1].text.strip()}')
        raise SettingsError(f"{field} must be text:weight:stop, got {whole!r}; quote a text with colons: {example}")
    doubt = ""
    while count and not part[-count - 1].quoted and not _is_weight(part[-count - 1].text, part[-count].text):
        example = shlex.quote(f'"{_join(part[:-count])}":{part[-count].text.strip()}')
        doubt = f"{whole!r} is read as a text with a colon; if {part[-count].text.strip()} is a weight, write {example}"
        count -= 1
    described = _parse_parts(part[: len(part) - count])
    numbers = [piece.text.strip() for piece in part[len(part) - count :]]
    for name, number in zip(("weight", "stop"), numbers, strict=False):
        if not math.isfinite(float(number)) and (name, number.lower()) != ("stop", "-inf"):
            raise SettingsError(f"{field}: {name} must be a finite number, got {number!r} in {whole!r}")
    if numbers and part[-count].text[:1].isspace() and re.fullmatch(r"\d+", numbers[0]):
        doubt = f"{whole!r} is read as {described['text']!r} with the weight {numbers[0]}; to keep the colon, write "
        doubt += shlex.quote(f'"{whole}"')
    elif not count and len(part) > 1 and re.match(r"[-+]?[\d.,]+\D?$", part[-1].text.strip()):
        doubt = doubt or f"{whole!r} is read as a text; a weight is a number with a point, as in fog:-0.3"
    pull = float(numbers[0]) if numbers else 1.0
    stop = float(numbers[1]) if len(numbers) > 1 else -math.inf
    return Prompt(weight=pull, stop=stop, **described), doubt


def _parse_parts(pieces: Sequence[_Piece]) -> dict[str, Any]:
    """The text of pieces, and the region and the span at its end, unless these are quoted."""
    text = _join(pieces)
    if pieces[-1].quoted:
        return {"text": text}
    text, span = spans.split(text)
    text, region = regions.split(text)
    return {"text": text, "region": region, "span": span}


def _join(pieces: Sequence[_Piece]) -> str:
    return ":".join(piece.text for piece in pieces).strip()


def _is_number(text: str) -> bool:
    return re.fullmatch(rf"(?:{_NUMBER}|[-+]?(?:inf|nan))", text.strip(), re.IGNORECASE) is not None


def _is_weight(before: str, number: str) -> bool:
    """Whether a number after a colon is meant as a weight, not as part of a time, a ratio or a year."""
    if before[-1:].isdigit() and re.fullmatch(r"\d{1,2}", number):
        return False
    return re.fullmatch(r"\d{3,}", number.strip()) is None


def _number_text(number: Number) -> str:
    if isinstance(number, Schedule):
        return text if ":" in (text := str(number)) else f"({text})"
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)
