"""Documents: JSON, YAML and notebooks of anybody, read within bounds."""

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vqclip_nb.errors import SettingsError

MOST = 5_000_000  # bytes of a file
MOST_TEXT = 20_000  # letters of one value
_FIELD = re.compile(r"^\s*([A-Za-z_]\w*)\s*=\s*(.+?)\s*#\s*@param\b", re.MULTILINE)


def text_of(path: Path) -> str:
    """The text of a file. Raises SettingsError when it cannot be read, is too long, or is no text."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise SettingsError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    if len(data) > MOST:
        raise SettingsError(f"{str(path)!r} has more than {MOST:,} bytes, which no settings have")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{str(path)!r} must be text in UTF-8, or a PNG or JPEG") from None


def mapping(text: str, path: Path) -> dict[str, Any] | None:
    """The object that JSON or YAML text holds, or None where it holds something else. Raises SettingsError."""
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Plain)
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise SettingsError(f"{str(path)!r} cannot be read: {reason}") from None
    return {str(name): value for name, value in values.items()} if isinstance(values, dict) else None


def fields_of_notebook(text: str, path: Path) -> dict[str, Any] | None:
    """The values of a notebook's fields, `name = value #@param`; plain values alone. Raises SettingsError."""
    cells = (mapping(text, path) or {}).get("cells")
    if not isinstance(cells, list):
        return None
    values: dict[str, Any] = {}
    for cell in cells:
        source = cell.get("source") if isinstance(cell, Mapping) else None
        lines = "".join(map(str, source)) if isinstance(source, list) else str(source or "")
        for name, written in _FIELD.findall(lines):
            try:
                values[name] = ast.literal_eval(written[:MOST_TEXT])
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
    return values or None


class _Plain(yaml.SafeLoader):
    """Plain values alone, and no aliases, by which a few lines become billions."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it has an alias, which no settings need")
        return super().compose_node(parent, index)
