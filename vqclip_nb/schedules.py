"""Schedules: a number of the settings that changes from step to step, written as keyframes or as an expression.

    0:(0.1), 60:(0.05), 120:(0.02)          0:(1), 60:(1.02 + 0.01*sin(t/8)) eased          0.1 * exp(-2*s)

A keyframe is `step:(number)`: the number that holds after so many steps. Between two keyframes it changes linearly,
smoothly with `eased`, or only at the keyframes with `stepped`; before the first and after the last it is constant. The
notation is that of Deforum and Disco Diffusion. A number may be an expression of t and s (`expressions`).
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Self

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, ValidationError, core_schema

from vqclip_nb.errors import SettingsError
from vqclip_nb.expressions import Expression, ExpressionError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EXAMPLE = "0:(0.1), 60:(0.05)"
MOST_KEYFRAMES = 1000
_MOST_CHECKED = 1000  # steps at which an expression is tried before painting
_PLAIN = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?\s*", re.IGNORECASE)
_TOKENS = (  # of one keyframe, in order: what it is, its pattern
    ("a step", re.compile(r"\s*(\d{1,8})(?!\d)")),
    ('":" after the step', re.compile(r"\s*(:)")),
    ('"(" before the number', re.compile(r"\s*(\()")),
)
_COURSE = re.compile(r"(.*\))\s*(linear|eased|stepped)\s*", re.IGNORECASE | re.DOTALL)
COURSES: dict[
    str, Callable[[float], float]
] = {  # interpolation between keyframes: share of the way in [0, 1) -> share of the difference
    "linear": lambda share: share,
    "eased": lambda share: share * share * (3 - 2 * share),
    "stepped": lambda share: 0.0,
}


@dataclass(frozen=True)
class Schedule:
    """A number that changes along the run, by keyframes: pairs of a step and a number, with increasing steps.

    course: the interpolation between keyframes, one of COURSES. `parse` reads `str(schedule)` back. Raises
    SettingsError when there is no keyframe, or the steps do not increase.
    """

    keyframes: tuple[tuple[int, float | Expression], ...]
    course: str = "linear"

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.keyframes]
        if not steps or steps != sorted(set(steps)):
            raise SettingsError(f"keyframes must have increasing steps, like {EXAMPLE}, got {self}")

    @classmethod
    def parse(cls, text: str, *, name: str = "schedule") -> Self:
        """Read `step:(number), step:(number), …`, or an expression.

        Raises SettingsError, in one line with `name` and a caret at the fault.
        """
        course, whole = "linear", text
        if match := _COURSE.fullmatch(text):
            text, course = match[1], match[2].lower()
        if not re.match(r"\s*[-+]?\d+\s*:", text) and not re.search(r"\d\s*:\s*\(", text):
            return cls(((0, _number(text, 0, name, whole)),), course)
        keyframes: list[tuple[int, float | Expression]] = []
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
                return cls(tuple(keyframes), course)
            if not rest.startswith(","):
                _fail(name, '"," before the next keyframe', text, at)
            at = text.index(",", at) + 1

    def __str__(self) -> str:
        if len(self.keyframes) == 1 and isinstance(alone := self.keyframes[0][1], Expression):
            return str(alone)
        text = ", ".join(f"{step}:({_number_text(number)})" for step, number in self.keyframes)
        return text if self.course == "linear" else f"{text} {self.course}"

    def at(self, step: int, progress: float = 0.0) -> float:
        """The number after `step` steps, where `progress` is the share of all steps."""
        here = (step, progress)
        before, number = self.keyframes[0]
        for after, following in self.keyframes:
            if step < after:
                share = (step - before) / (after - before) if step > before else 0.0
                begin = _value(number, here)
                return begin + (_value(following, here) - begin) * COURSES[self.course](share) if share else begin
            before, number = after, following
        return _value(number, here)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The number at each keyframe; expressions are evaluated there with `s` = 0."""
        return tuple(_value(number, (step, 0.0)) for step, number in self.keyframes)

    @property
    def varies(self) -> bool:
        """Whether any of its numbers is an expression."""
        return any(isinstance(number, Expression) for _, number in self.keyframes)

    def over(self, steps: int) -> list[tuple[int, float]]:
        """Pairs of a step and its number in a run of `steps` steps: all of them, or a thousand, evenly spaced."""
        samples = range(steps) if steps <= _MOST_CHECKED else [i * steps // _MOST_CHECKED for i in range(_MOST_CHECKED)]
        return [(step, self.at(step, step / steps)) for step in samples]

    def times(self, factor: float) -> "Schedule":
        """This schedule with each number multiplied by `factor`."""
        return self.changed(lambda number: number * factor, lambda text: f"{factor:.15g}*({text})")

    def below_zero(self) -> "Schedule":
        """This schedule with each number made negative."""
        return self.changed(lambda number: -abs(number), lambda text: f"-abs({text})")

    def changed(self, of_number: Callable[[float], float], of_text: Callable[[str], str]) -> "Schedule":
        """This schedule with other numbers: `of_number` maps a number, `of_text` the text of an expression."""
        keyframes = [
            (step, Expression(of_text(number.text)) if isinstance(number, Expression) else of_number(number))
            for step, number in self.keyframes
        ]
        return replace(self, keyframes=tuple(keyframes))

    def retimed(self, step_of: Callable[[int], int], replacement: str) -> "Schedule":
        """Convert a schedule from other units, such as frames: `step_of` maps keyframes, `replacement` replaces t."""
        keyframes = [
            (step_of(unit), number.put(replacement) if isinstance(number, Expression) else number)
            for unit, number in self.keyframes
        ]
        return replace(self, keyframes=tuple(keyframes))

    @classmethod
    def looks_so(cls, text: str) -> bool:
        """Whether text that is not a number was meant as keyframes or an expression."""
        return re.search(r"\d\s*:\s*\(", text) is not None or cls.may_be(text)

    @staticmethod
    def may_be(text: str) -> bool:
        """Whether text that is not a number looks like an expression, so that its error should be reported as one."""
        return re.search(r"[()*/%]|(?<![\w.])[ts](?!\w)", text) is not None


Number = float | Schedule
Whole = int | Schedule


def value_at(number: Number, step: int, progress: float = 0.0) -> float:
    """A plain number, or the schedule's number after `step` steps."""
    return number.at(step, progress) if isinstance(number, Schedule) else number


def whole_at(number: Whole, step: int, progress: float = 0.0) -> int:
    """`value_at` for a count, rounded."""
    return round(number.at(step, progress)) if isinstance(number, Schedule) else number


def most(number: Number, steps: int) -> float:
    """The largest value in a run of `steps` steps."""
    if not isinstance(number, Schedule):
        return number
    return max(value for _, value in number.over(steps)) if number.varies else max(number.numbers)


def scale(number: Number, factor: float) -> Number:
    """A number, or the numbers of a schedule, multiplied by `factor` and rounded to four digits."""
    return round(number * factor, 4) if not isinstance(number, Schedule) else number.times(factor)


def check_finite(numbers: Iterable[tuple[str, Number]], steps: int, unit: str = "step") -> None:
    """Raise SettingsError when a named number is undefined or infinite at some step, or frame, as `unit` says."""
    for name, number in numbers:
        if isinstance(number, Schedule) and number.varies:
            for step, value in number.over(steps):
                if not math.isfinite(value):
                    raise SettingsError(
                        f"{name} must be a number at every {unit}, got none at {unit} {step} of {str(number)!r}"
                    )


def tensor_at(number: Number, step: int, progress: float, device: "torch.device") -> "float | Tensor":
    """`value_at` for use in a step: a plain number as it is, a schedule's number as a scalar tensor on the device.

    The tensor is filled on the device: nothing waits for it, and no CUDA graph depends on the number.
    """
    if not isinstance(number, Schedule):
        return number
    import torch

    return torch.full((), number.at(step, progress), device=device)


def unreached_keyframes(
    numbers: "Iterable[tuple[str, Number | None]]", steps: int, frame_of: Callable[[int], int] | None = None
) -> list[str]:
    """A sentence for each number, by its name, whose keyframes go beyond a run of so many steps.

    frame_of: of a film, the number of complete frames after so many steps.
    """
    frame = "" if frame_of is None else ", frame {}"
    frames = "" if frame_of is None else f", after {frame_of(steps - 1) + 1} frames"
    late = [(name, number.keyframes[-1]) for name, number in numbers if isinstance(number, Schedule)]
    return [
        f"{name} has a keyframe at step {step}{frame.format(frame_of(step) if frame_of else 0)}, and the run ends at "
        f"step {steps}{frames}: {_number_text(number)} is not reached"
        for name, (step, number) in late
        if step > steps
    ]


@dataclass(frozen=True)
class Scheduled:
    """Marks a field of Settings as a number, keyframes or an expression, with a range that holds at every step.

    Used as `Annotated[float | Schedule, Scheduled(float, ge=0, le=1)]`. Keyframes that all have the same number become
    that number. Expressions are checked by `check`, which knows the number of steps.
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

    def check(self, name: str, number: Any, steps: int, unit: str = "step") -> None:
        """Raise SettingsError when a schedule leaves the range in a run of `steps` steps, or frames, as `unit` says."""
        if not isinstance(number, Schedule):
            return
        check_finite([(name, number)], steps, unit)
        for step, value in number.over(steps):
            value = round(value) if self.kind is int else value
            if (self.gt is not None and value <= self.gt) or not (self.ge or -math.inf) <= value <= (
                self.le or math.inf
            ):
                at = f"got {value:.4g} at {unit} {step} of {str(number)!r}"
                remedy = "; max(…, …) and min(…, …) bound it" if number.varies else ""
                raise SettingsError(f"{name} must be {self._range()} at every {unit}, {at}{remedy}")

    def _read(self, value: Any, plain: Any, info: Any) -> Any:
        if isinstance(value, str) and (":" in value or Schedule.may_be(value)):
            value = Schedule.parse(value, name=info.field_name)
        if not isinstance(value, Schedule):
            return plain(value)
        keyframes = []
        for step, number in value.keyframes:
            try:
                keyframes.append((step, number if isinstance(number, Expression) else plain(number)))
            except ValidationError:
                limits = f"{'a whole number ' if self.kind is int else ''}{self._range()}"
                at = f"got {number:.15g} at step {step}"
                raise SettingsError(f"{info.field_name} must be {limits} at every keyframe, {at}") from None
        alone = len({number for _, number in keyframes}) == 1 and not value.varies
        return keyframes[0][1] if alone else replace(value, keyframes=tuple(keyframes))

    def _range(self) -> str:
        return f"from {self.ge} to {self.le}" if self.gt is None else f"above {self.gt} and up to {self.le}"


def _value(number: float | Expression, here: tuple[int, float]) -> float:
    return number.at(*here) if isinstance(number, Expression) else number


def _number_text(number: float | Expression) -> str:
    """A number as text, exact when read back."""
    if isinstance(number, Expression):
        return number.text
    short = f"{number:.15g}"
    return short if float(short) == number else repr(number)


def _keyframe(text: str, at: int, name: str) -> tuple[int, float | Expression, int]:
    """Read the keyframe at index `at`: its step, its number, and the index after it."""
    step = 0
    for what, pattern in _TOKENS:
        if (match := pattern.match(text, at)) is None:
            _fail(name, what, text, at)
        step, at = int(match[1]) if what == "a step" else step, match.end()
    end = _closing(text, at)
    if end is None:
        _number(text[at:].rstrip(), at, name, text)
        _fail(name, '")" after the number', text, len(text))
    return step, _number(text[at : end - 1], at, name, text), end


def _closing(text: str, at: int) -> int | None:
    """The index after the bracket that closes the one just before index `at`, or None."""
    depth = 1
    for index in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if not depth:
            return index + 1
    return None


def _number(text: str, at: int, name: str, whole: str) -> float | Expression:
    """Read a number or an expression, which begins at index `at` of the whole text."""
    if _PLAIN.fullmatch(text):
        return float(text)
    try:
        expression = Expression(text.strip())
        if text.strip().startswith("(") and _closing(text.strip(), 1) == len(text.strip()):
            return _number(text.strip()[1:-1], 0, name, whole)  # so that `str` and `parse` round-trip
        return expression
    except ExpressionError as error:
        _fail(name, error.expected, whole, at + len(text) - len(text.lstrip()) + error.at)


def _fail(name: str, expected: str, text: str, at: int) -> NoReturn:
    """Raise SettingsError for a text that is wrong at index `at`, marked by a caret."""
    at += len(text[at:]) - len(text[at:].lstrip())
    before, after = text[max(0, at - 40) : at], text[at : at + 20]
    near = " ".join(f"{'…' if at > 40 else ''}{before}^{after}{'…' if len(text) > at + 20 else ''}".split())
    problem = f"expected {expected} at the ^ in {near!r}"
    raise SettingsError(f"{name} must be a number or keyframes like {EXAMPLE}; {problem}")
