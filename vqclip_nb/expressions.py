"""Expressions: a number as a formula of the step, read by a small grammar. Nothing is run as code.

    0.1 * exp(-2*s)        1.02 + 0.01*sin(t/8)        max(0, 1 - t/60)

`t` is the number of steps made, `s` the share of all steps in [0, 1). There are + - * / % **, brackets, `pi` and the
functions of FUNCTIONS. `noise(x)` is smooth random noise in [-1, 1] with a new value at each whole x. It is the same in
every run, so that a picture is the same whether painted as a variation or alone; `noise(x + 100)` gives other values.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import NoReturn

MOST_LETTERS = 500
_MOST_DEPTH = 40
_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:e[-+]?\d{1,3})?|\.\d+(?:e[-+]?\d{1,3})?)|([a-z]\w*)|(\*\*|[-+*/%(),]))", re.I)
_Course = Callable[[float, float], float]  # of t and s


class ExpressionError(ValueError):
    """A formula that cannot be read: what was expected, and at which letter of the text, from 0."""

    def __init__(self, expected: str, at: int) -> None:
        super().__init__(expected)
        self.expected, self.at = expected, at


def noise(x: float) -> float:
    """Value noise in [-1, 1]: a random value at each whole x, smoothly interpolated."""
    if not math.isfinite(x):
        return math.nan
    whole = math.floor(x)
    share = x - whole
    return _value(whole) + (_value(whole + 1) - _value(whole)) * share * share * (3 - 2 * share)


def _value(whole: int) -> float:
    digest = blake2b(f"noise {whole}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") / (2**32 - 1) * 2 - 1


FUNCTIONS: dict[str, tuple[Callable[..., float], int, int]] = {  # by name: the function, its least and most numbers
    "sin": (math.sin, 1, 1),
    "cos": (math.cos, 1, 1),
    "exp": (math.exp, 1, 1),
    "log": (math.log, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "abs": (abs, 1, 1),
    "floor": (math.floor, 1, 1),
    "min": (min, 2, 8),
    "max": (max, 2, 8),
    "noise": (noise, 1, 1),
}


@dataclass(frozen=True)
class Expression:
    """A formula of `t` and `s`. Raises ExpressionError for text that is not one."""

    text: str

    def __post_init__(self) -> None:
        compile_text(self.text)

    def __str__(self) -> str:
        return self.text

    def at(self, step: float, progress: float) -> float:
        """Its value after `step` steps, where `progress` is the share of all; nan where undefined, as for 1/0."""
        try:
            value = compile_text(self.text)(step, progress)
            return float(value) if isinstance(value, int | float) else math.nan
        except (ArithmeticError, ValueError):
            return math.nan

    def put(self, replacement: str) -> "Expression":
        """The same formula with `t` replaced by other text."""
        return Expression(re.sub(r"(?<![\w.])t(?!\w)", replacement, self.text))


@cache
def compile_text(text: str) -> _Course:
    """The function of t and s that a text means. Raises ExpressionError."""
    if len(text) > MOST_LETTERS:
        raise ExpressionError(f"an expression of at most {MOST_LETTERS} letters", MOST_LETTERS)
    reader = _Reader(text)
    course = reader.sum(0)
    if reader.kind != "end":
        reader.fail("an operator or the end")
    return course


class _Reader:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.begin, self.kind, self.token = text, 0, 0, "", ""
        self.next()

    def next(self) -> None:
        """Go to the next token."""
        self.begin = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
        if self.begin == len(self.text):
            self.kind, self.token = "end", ""
            return
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.fail("a number, t, s, a function or an operator")
        self.token, self.at = match[0].strip(), match.end()
        self.kind = ("number", "name", self.token)[(match.lastindex or 1) - 1]

    def fail(self, expected: str) -> NoReturn:
        raise ExpressionError(expected, self.begin)

    def take(self, kind: str, expected: str) -> None:
        if self.kind != kind:
            self.fail(expected)
        self.next()

    def sum(self, depth: int) -> _Course:
        if depth > _MOST_DEPTH:
            self.fail("fewer brackets")
        course = self.product(depth)
        while self.kind in ("+", "-"):
            course = self.joined(course, self.product, depth)
        return course

    def product(self, depth: int) -> _Course:
        course = self.signed(depth)
        while self.kind in ("*", "/", "%"):
            course = self.joined(course, self.signed, depth)
        return course

    def joined(self, left: _Course, operand: Callable[[int], _Course], depth: int) -> _Course:
        """The operation of the current operator on `left` and the operand that follows."""
        operate = _OPERATORS[self.kind]
        self.next()
        right = operand(depth)
        return lambda t, s: operate(left(t, s), right(t, s))

    def signed(self, depth: int) -> _Course:
        if depth > _MOST_DEPTH:
            self.fail("fewer signs")
        if self.kind in ("+", "-"):
            sign = -1 if self.kind == "-" else 1
            self.next()
            value = self.signed(depth + 1)
            return lambda t, s: sign * value(t, s)
        base = self.atom(depth)
        if self.kind != "**":
            return base
        self.next()
        power = self.signed(depth + 1)
        return lambda t, s: float(base(t, s)) ** power(t, s)

    def atom(self, depth: int) -> _Course:
        kind, token = self.kind, self.token.lower()
        if kind == "number":
            value = float(token)
            self.next()
            return lambda t, s: value
        if kind == "(":
            self.next()
            inner = self.sum(depth + 1)
            self.take(")", '")"')
            return inner
        if kind == "name" and token in _NAMES:
            self.next()
            return _NAMES[token]
        if kind == "name" and token in FUNCTIONS:
            return self.call(token, depth)
        return self.fail(f"a number, t, s, pi, a bracket or one of {', '.join(FUNCTIONS)}")

    def call(self, name: str, depth: int) -> _Course:
        function, least, most = FUNCTIONS[name]
        self.next()
        self.take("(", f'"(" after {name}')
        numbers = [self.sum(depth + 1)]
        while self.kind == "," and len(numbers) < most:
            self.next()
            numbers.append(self.sum(depth + 1))
        if len(numbers) < least:
            self.fail(f'"," and another number for {name}')
        self.take(")", '")"')
        return lambda t, s: function(*(number(t, s) for number in numbers))


_NAMES: dict[str, _Course] = {"t": lambda t, s: t, "s": lambda t, s: s, "pi": lambda t, s: math.pi}
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
}
