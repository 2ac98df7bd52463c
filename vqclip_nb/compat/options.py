"""Options of other tools: their form there, and their meaning here."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vqclip_nb.errors import SettingsError

Kind = Literal["text", "texts", "whole", "wholes", "number", "numbers", "switch", "any"]
Fate = Literal["setting", "file", "moot", "refused"]
_KIND_NAMES = {
    **{"whole": "a whole number", "wholes": "whole numbers", "number": "a number", "numbers": "numbers"},
    "switch": "True or False",
}


@dataclass(frozen=True)
class Option:
    """An option of another tool.

    name: its name in Python. kind: the type of its value. default: its default in the tool. fate: whether it becomes a
    setting, names files to write, has no effect (moot), or is refused. here: its meaning here; for moot and refused
    options, the reason and the remedy. short: its short form. setting: the setting that takes its value unchanged.
    """

    name: str
    kind: Kind
    default: Any
    fate: Fate
    here: str
    short: str = ""
    setting: str = ""

    @property
    def flag(self) -> str:
        """The option as it is typed in the tool's command."""
        return f"--{self.name}"

    @property
    def help(self) -> str:
        """The help text of the option in the command here."""
        default = "" if self.default in (None, "", (), False) else f" (default: {self.default})"
        fate = {"moot": "changes nothing here: ", "refused": "cannot be had here: "}.get(self.fate, "")
        return f"{fate}{self.here}{default}".replace("%", "%%").replace("`", "")


@dataclass(frozen=True)
class Tool:
    """A tool whose commands work here. command: its name, also after `vqclip`. preset: the preset with its settings."""

    title: str
    command: str
    preset: str
    options: tuple[Option, ...]

    def option(self, name: str) -> Option:
        """An option by its name, with `-` or `_`. Raises SettingsError, which suggests the nearest name."""
        options = {option.name: option for option in self.options}
        plain = name.strip("-").replace("-", "_")
        if plain not in options:
            near = difflib.get_close_matches(plain, options, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"{self.title} has no option {name!r}{hint}")
        return options[plain]

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """All options by name, converted to their kinds; missing ones have their defaults. Raises SettingsError."""
        values = {option.name: option.default for option in self.options}
        for name, value in arguments.items():
            option = self.option(name)
            values[option.name] = convert(option, value)
        return values

    def notes(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """A sentence for each option that has no effect here. Raises SettingsError for a refused option."""
        sentences = []
        for option, value in ((self.option(name), value) for name, value in arguments.items()):
            if convert(option, value) == option.default:
                continue
            if option.fate == "refused":
                raise SettingsError(f"{option.flag} cannot be had here: {option.here}")
            if option.fate == "moot":
                sentences.append(f"{option.flag} changes nothing here: {option.here}")
        return tuple(sentences)

    def direct(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that take an option's value unchanged, by name."""
        values = self.read(arguments)
        names = {self.option(name).name for name in arguments}
        return {
            option.setting: values[option.name]
            for option in self.options
            if option.setting and option.name in names and values[option.name] is not None
        }


def convert(option: Option, value: Any) -> Any:
    """Convert a value to the option's kind. Raises SettingsError, which names the option."""
    try:
        return value if value is None or option.kind == "any" else _READERS[option.kind](value)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise SettingsError(f"{option.flag} must be {_KIND_NAMES[option.kind]}, got {str(value)!r}") from None


def _switch(value: Any) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).strip().lower()]


def _whole(value: Any) -> int:
    return value if type(value) is int else int(str(value))


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": str,
    "texts": lambda value: tuple(map(str, _several(value))),
    "whole": _whole,
    "wholes": lambda value: tuple(map(_whole, _several(value))),
    "number": float,
    "numbers": lambda value: tuple(map(float, _several(value))),
    "switch": _switch,
}
