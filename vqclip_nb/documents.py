"""Documents: untrusted JSON and YAML, read safely and within limits."""

import json
from pathlib import Path
from typing import Any

import yaml

from vqclip_nb.errors import SettingsError

MOST = 5_000_000  # bytes of a file


def text_of(path: Path) -> str:
    """The text of a file. Raises SettingsError when it cannot be read, is too long, or is not text."""
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


def parse(text: str, path: Path) -> Any:
    """The content of JSON or YAML text: plain values, lists and tables. Raises SettingsError, naming the file."""
    try:
        return json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Plain)
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise SettingsError(f"{str(path)!r} cannot be read: {reason}") from None


class _Plain(yaml.SafeLoader):
    """Loads plain values, and refuses aliases: with them a few lines can expand to billions."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it has an alias, which no settings need")
        return super().compose_node(parent, index)
