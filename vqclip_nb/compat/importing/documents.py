"""Documents: untrusted JSON, YAML and notebooks, read with size limits."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqclip_nb.documents import parse

MOST_TEXT = 20_000  # letters of one value
MOST_NAME = 100  # letters of an option's name


def mapping(text: str, path: Path) -> dict[str, Any] | None:
    """The mapping in a JSON or YAML text, or None for another value. Raises SettingsError."""
    values = parse(text, path)
    return {str(name)[:MOST_NAME]: value for name, value in values.items()} if isinstance(values, dict) else None


def fields_of_notebook(text: str, path: Path) -> dict[str, Any] | None:
    """The values of a notebook's fields, `name = value #@param`; only literals are read. Raises SettingsError."""
    cells = (mapping(text, path) or {}).get("cells")
    if not isinstance(cells, list):
        return None
    values: dict[str, Any] = {}
    for cell in cells:
        source = cell.get("source") if isinstance(cell, Mapping) else None
        lines = "".join(map(str, source)) if isinstance(source, list) else str(source or "")
        for name, literal in filter(None, map(_field, lines.splitlines())):
            try:
                values[name] = ast.literal_eval(literal)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
    return values or None


def _field(line: str) -> tuple[str, str] | None:
    """The name and the unparsed value of a line `name = value #@param ...`, or None for another line."""
    code, mark, _ = line[:MOST_TEXT].partition("@param")
    name, equals, value = code.rstrip().removesuffix("#").partition("=")
    return (name.strip(), value.strip()) if mark and equals and name.strip().isidentifier() else None
