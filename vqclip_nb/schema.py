"""Schema: fields are declared once, with all that a form, a flag, a table and an error message need.

A field belongs to a pydantic model: to `Settings`, or to the options of a canvas. Nothing here imports torch.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from vqclip_nb.schedules import Schedule, Scheduled

_KEYFRAMES = {"number": "0:(0.1), 60:(0.05)", "whole number": "0:(8), 60:(16)"}


@dataclass(frozen=True)
class FieldSpec:
    """The description of a field.

    group: its heading. live: whether it may change during a run. choices: its values, if there is a list of them.
    limits: the range of a number by `ge` (from), `gt` (above) and `le` (up to). kind: "number", "whole number",
    "switch", "choice", "text" or "list". owner: the canvas whose option it is, or "". scheduled: whether keyframes are
    allowed.
    """

    name: str
    title: str
    help: str
    group: str
    default: Any
    live: bool
    kind: str
    choices: tuple[str, ...]
    limits: Mapping[str, float]
    owner: str = ""
    scheduled: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words: `from 1 to 100000`, `one of adam, sgd`, `a text`."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if not self.limits:
            return {"switch": "true or false", "list": "a list of files"}.get(self.kind, "a text")
        low = f"from {self.limits['ge']}" if "ge" in self.limits else f"above {self.limits['gt']}"
        words = f"{low} {'to' if 'ge' in self.limits else 'and up to'} {self.limits['le']}"
        return "two whole numbers, width and height, each " + words if self.kind == "pair" else words


def field(default: Any, group: str, title: str, help: str, *, live: bool = False, **limits: Any) -> Any:
    """Declare a field of a pydantic model. `limits` are pydantic's own: ge, gt, le.

    `live` marks a field that may change during a run.
    """
    return Field(default, title=title, description=help, json_schema_extra={"group": group, "live": live}, **limits)


def option(default: Any, title: str, help: str, *, live: bool = False, **limits: Any) -> Any:
    """Declare an option of a canvas."""
    return field(default, "Canvas", title, help, live=live, **limits)


@cache
def describe(model: type[BaseModel], owner: str = "") -> tuple[FieldSpec, ...]:
    """The fields of a pydantic model declared with `field`: first its own in order, then those of its bases."""
    base_names = {name for base in model.__bases__ if issubclass(base, BaseModel) for name in base.model_fields}
    items = sorted(model.model_fields.items(), key=lambda item: item[0] in base_names)
    return tuple(_spec(name, info, owner) for name, info in items if _extra(info))


def normalize(values: Mapping[str, Any], specs: Iterable[FieldSpec]) -> dict[str, Any]:
    """Adapt values to their fields: the case of choices is corrected, and numbers become text for text fields."""
    result = dict(values)
    for spec in specs:
        if spec.name not in values:
            continue
        value = values[spec.name]
        if isinstance(value, str) and spec.choices and value not in spec.choices:
            result[spec.name] = next((each for each in spec.choices if each.lower() == value.strip().lower()), value)
        elif spec.kind == "text" and isinstance(value, int | float) and not isinstance(value, bool):
            result[spec.name] = str(value)
    return result


def closest(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'steps'?`, or "" if no word is similar."""
    near = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_line(error: ValidationError, values: Mapping[str, Any], specs: Mapping[str, FieldSpec]) -> str:
    """The first validation error in one line: the field, what is allowed, and the value."""
    first = error.errors()[0]
    if not first["loc"] or first["type"] == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"]))
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        hint = closest(name, specs) or "; the settings are " + ", ".join(specs)
        return f"there is no setting {name!r}{hint}"
    value = values.get(name, first["input"])
    number = {"int": "a whole number ", "flo": "a number ", "fin": "a number "}.get(first["type"][:3], "")
    spec = specs[name]
    problem = f"{name} must be {number if spec.kind != 'pair' else ''}{spec.allowed}, got {value_text(value)}"
    return problem + (_no_keyframes_hint(specs) if isinstance(value, str) and Schedule.looks_so(value) else "")


def value_text(value: Any) -> str:
    """A value as a person wrote it."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    number = isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[-+.\d]+", value))
    return str(value) if number else repr(value)


def _no_keyframes_hint(specs: Mapping[str, FieldSpec]) -> str:
    """What to say of keyframes or a formula for a number that cannot change along the run."""
    names = [spec.name for spec in specs.values() if spec.scheduled] or ["settings such as lr and cutn"]
    words = f"keyframes or a formula are for {', '.join(names)}, and for the weights of prompts and losses"
    return f"; it is one number for the whole run: {words}"


def _extra(info: FieldInfo) -> Mapping[str, Any]:
    extra = info.json_schema_extra
    return extra if isinstance(extra, dict) and "group" in extra else {}


def _spec(name: str, info: FieldInfo, owner: str) -> FieldSpec:
    extra, limits = _extra(info), _limits(info)
    types = _types(info.annotation)
    scheduled = any(isinstance(rule, Scheduled) for rule in info.metadata)
    literal = next((each for each in types if str(each).startswith("typing.Literal")), None)
    kind = _kind(types, literal, limits)
    return FieldSpec(
        name=name,
        title=info.title or name,
        help=(info.description or "")
        + (f"; or keyframes or a formula of t and s: {_KEYFRAMES[kind]}" if scheduled else ""),
        group=str(extra["group"]),
        default=info.default,
        live=bool(extra["live"]),
        kind=kind,
        choices=tuple(map(str, get_args(literal))) if literal else (),
        limits=limits,
        owner=owner,
        scheduled=scheduled,
    )


def _kind(types: tuple[Any, ...], literal: Any, limits: Mapping[str, float]) -> str:
    if literal:
        return "choice"
    if any(get_origin(each) is tuple for each in types):
        return "pair" if limits else "list"
    names = {bool: "switch", int: "whole number", float: "number"}
    return next((names[each] for each in types if each in names), "text")


def _types(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type; None is left out."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(each for each in members if each is not type(None))


def _limits(info: FieldInfo) -> dict[str, float]:
    """The range of a number, or of each number of a pair."""
    rules = [*info.metadata]
    if get_origin(info.annotation) is tuple:
        members = getattr(get_args(info.annotation)[0], "__metadata__", ())
        rules += [rule for member in members for rule in member.metadata]
    bounds = {key: getattr(rule, key, None) for rule in rules for key in ("ge", "gt", "le") if hasattr(rule, key)}
    return {key: bound for key, bound in bounds.items() if bound is not None}
