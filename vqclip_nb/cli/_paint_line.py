"""The `vqclip paint` command that paints some settings, in one line to paste into a shell."""

from collections.abc import Sequence
from typing import Any

from vqclip_nb import presets
from vqclip_nb.cli._shell import command
from vqclip_nb.fields import FieldSpec, fields
from vqclip_nb.settings import Settings


def paint_line(settings: Settings, preset: str = "", *extra: str) -> str:
    """The command that paints these settings, with a flag for each that differs from the preset or the default."""
    base = Settings(**presets.load(preset).settings) if preset else None
    words = ["--preset", preset] if preset else []
    for spec in fields(settings):
        value = _json_value(settings, spec)
        if spec.name == "prompt" or value == (_json_value(base, spec) if base else _as_json(spec.default)):
            continue
        words += _flag(spec, value)
    words += extra
    if settings.prompt.startswith("-"):
        return command("vqclip", "paint", *words, operands=[settings.prompt])
    return command("vqclip", "paint", *([settings.prompt] if settings.prompt else []), *words)


def _json_value(settings: Settings, spec: FieldSpec) -> Any:
    """The JSON value of a setting, or None if it does not determine the picture."""
    values = settings.to_dict()
    return values["canvas_options"].get(spec.name) if spec.owner else values.get(spec.name)


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _flag(spec: FieldSpec, value: Any) -> Sequence[str]:
    flag = "--" + spec.name.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if spec.kind == "list":
        return [word for item in value for word in (flag, str(item))]
    return [flag, *map(str, value if isinstance(value, list) else [value])]
