"""Schedules: a number of the settings that changes from step to step, written as keyframes.

    0:(0.1), 60:(0.05), 120:(0.02)

A keyframe is `step:(number)`: the number holds for the step that is made after so many steps. Between two keyframes it
changes linearly; before the first and after the last it stays. The notation is that of Deforum and Disco Diffusion,
with plain numbers only: nothing is evaluated as code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, ValidationError, core_schema

from vqclip_nb.errors import SettingsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EXAMPLE = "0:(0.1), 60:(0.05)"
MOST_KEYFRAMES = 1000
_TOKENS = (  # of one keyframe, in order: what it is, its pattern
    ("a step", re.compile(r"\s*(\d{1,8})(?!\d)")),
    ('":" after the step', re.compile(r"\s*(:)")),
    ('"(" before the number', re.compile(r"\s*(\()")),
    ("a number", re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?)", re.IGNORECASE)),
    ('")" after the number', re.compile(r"\s*(\))")),
)


@dataclass(frozen=True)
class Schedule:
    """A number by keyframes: pairs of a step and the number there, of increasing steps.

    `str(schedule)` is text that `parse` reads back. Raises SettingsError where there is no keyframe, or the steps do
    not increase.
    """

    keyframes: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.keyframes]
        if not steps or steps != sorted(set(steps)):
            raise SettingsError(f"keyframes must have increasing steps, like {EXAMPLE}, got {self}")

    @classmethod
    def parse(cls, text: str, *, name: str = "schedule") -> Self:
        """Read `step:(number), step:(number), …`.

        Raises SettingsError in one line that names `name` and shows, by a caret, where the text is wrong.
        """
        keyframes: list[tuple[int, float]] = []
        at = 0
        while True:
            begin, (step, number, at) = at, _keyframe(text, at, name)
            if keyframes and step <= keyframes[-1][0]:
                _fail(name, f"a step above {keyframes[-1][0]}", text, begin)
            if len(keyframes) == MOST_KEYFRAMES:
                _fail(name, f"{MOST_KEYFRAMES} keyframes at most", text, begin)
            keyframes.append((step, number))
            rest = text[at:].lstrip()
            if not rest:
                return cls(tuple(keyframes))
            if not rest.startswith(","):
                _fail(name, '"," before the next keyframe', text, at)
            at = text.index(",", at) + 1

    def __str__(self) -> str:
        return ", ".join(f"{step}:({_written(number)})" for step, number in self.keyframes)

    def at(self, step: int) -> float:
        """The number for the step that is made after `step` steps."""
        before, number = self.keyframes[0]
        for after, following in self.keyframes:
            if step < after:
                share = (step - before) / (after - before) if step > before else 0.0
                return number + (following - number) * share
            before, number = after, following
        return number

    @property
    def numbers(self) -> tuple[float, ...]:
        """The number at each keyframe."""
        return tuple(number for _, number in self.keyframes)

    def times(self, factor: float) -> "Schedule":
        """The same course, each number multiplied by `factor`."""
        return Schedule(tuple((step, number * factor) for step, number in self.keyframes))


Number = float | Schedule
Whole = int | Schedule


def value_at(number: Number, step: int) -> float:
    """A plain number, or a schedule's number, for the step that is made after `step` steps."""
    return number.at(step) if isinstance(number, Schedule) else number


def whole_at(number: Whole, step: int) -> int:
    """`value_at` for a count, rounded."""
    return round(number.at(step)) if isinstance(number, Schedule) else number


def most(number: Number) -> float:
    """The largest number that comes about: a plain number is itself."""
    return max(number.numbers) if isinstance(number, Schedule) else number


def scaled(number: Number, factor: float) -> Number:
    """A number, or the numbers of a schedule, multiplied by `factor` and rounded to four digits."""
    return round(number * factor, 4) if not isinstance(number, Schedule) else number.times(factor)


def tensor_at(number: Number, step: int, device: "torch.device") -> "float | Tensor":
    """`value_at` for the arithmetic of a step: a plain number as it is, a schedule's as a tensor on the device.

    The tensor is filled there; nothing waits for the device, and nothing recorded depends on the number.
    """
    if not isinstance(number, Schedule):
        return number
    import torch

    return torch.full((), number.at(step), device=device)


@dataclass(frozen=True)
class Scheduled:
    """Marks a field of Settings that takes a number or keyframes; the range holds for the number at every keyframe.

    For use as `Annotated[float | Schedule, Scheduled(float, ge=0, le=1)]`. Keyframes with one number throughout become
    that number, so that they cost nothing.
    """

    kind: type[float] | type[int] = float
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    optional: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from typing import Annotated

        limits = Field(ge=self.ge, gt=self.gt, le=self.le)
        kind = self.kind | None if self.optional else self.kind
        plain = handler.generate_schema(Annotated[kind, limits])
        return core_schema.with_info_wrap_validator_function(
            self._read,
            plain,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: str(value) if isinstance(value, Schedule) else value
            ),
        )

    def _read(self, value: Any, plain: Any, info: Any) -> Any:
        if isinstance(value, str) and ":" in value:
            value = Schedule.parse(value, name=info.field_name)
        if not isinstance(value, Schedule):
            return plain(value)
        checked = []
        for step, number in value.keyframes:
            try:
                checked.append((step, plain(number)))
            except ValidationError:
                allowed = f"{'a whole number ' if self.kind is int else ''}{self._range()}"
                at = f"got {number:.15g} at step {step}"
                raise SettingsError(f"{info.field_name} must be {allowed} at every keyframe, {at}") from None
        return Schedule(tuple(checked)) if len(set(value.numbers)) > 1 else checked[0][1]

    def _range(self) -> str:
        return f"from {self.ge} to {self.le}" if self.gt is None else f"above {self.gt} and up to {self.le}"


def _written(number: float) -> str:
    """A number as text that is read back as the same number."""
    short = f"{number:.15g}"
    return short if float(short) == number else repr(number)


def _keyframe(text: str, at: int, name: str) -> tuple[int, float, int]:
    """The keyframe that begins at this place: its step, its number, and the place behind it."""
    found: Sequence[str] = []
    for what, pattern in _TOKENS:
        if (match := pattern.match(text, at)) is None:
            _fail(name, what, text, at)
        found, at = [*found, match[1]], match.end()
    return int(found[0]), float(found[3]), at


def _fail(name: str, expected: str, text: str, at: int) -> NoReturn:
    """Raise SettingsError for a text that is wrong at this place, which a caret marks."""
    at += len(text[at:]) - len(text[at:].lstrip())
    before, after = text[max(0, at - 40) : at], text[at : at + 20]
    near = " ".join(f"{'…' if at > 40 else ''}{before}^{after}{'…' if len(text) > at + 20 else ''}".split())
    problem = f"expected {expected} at the ^ in {near!r}"
    raise SettingsError(f"{name} must be a number or keyframes like {EXAMPLE}; {problem}")
