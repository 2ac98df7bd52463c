"""Presets: settings by name, such as the numbers of a published recipe. Each TOML file here is one.

    title = "Quick sketch"
    help = "a first look in half the time"

    [settings]
    steps = 60

What is not named under `settings` is the default. Another package adds one by an entry point in the group
`vqclip_nb.presets` that names a mapping of the same form.
"""

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from vqclip_nb import plugins
from vqclip_nb.errors import SettingsError
from vqclip_nb.schema import closest

GROUP = "vqclip_nb.presets"


@dataclass(frozen=True)
class Preset:
    """Settings under a name. title: for a menu. help: what it is for, or where its numbers come from."""

    name: str
    title: str
    help: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    """The names of all presets: ours, then those of other packages."""
    return sorted(_own()) + sorted(plugins.entry_points_of(GROUP).keys() - _own().keys())


def load(name: str) -> Preset:
    """A preset by its name, whatever the case. Raises SettingsError when there is none, or it is not of the form."""
    key = name.strip().lower()
    if key in _own():
        return _own()[key]
    if point := plugins.entry_points_of(GROUP).get(name):
        try:
            return _preset(name, point.load())
        except Exception as error:
            raise SettingsError(f"the preset {name!r} of another package cannot be loaded: {error}") from None
    raise SettingsError(f"preset must be one of {', '.join(names())}, got {name!r}{closest(key, names())}")


def load_all() -> list[Preset]:
    """All presets, in the order of `names`; one of another package that cannot be loaded is left out."""
    presets = []
    for name in names():
        with suppress(SettingsError):
            presets.append(load(name))
    return presets


@cache
def _own() -> dict[str, Preset]:
    files = [file for file in resources.files(__package__).iterdir() if file.name.endswith(".toml")]
    tables = {file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8")) for file in files}
    return {name: _preset(name, table) for name, table in sorted(tables.items())}


def _preset(name: str, table: Mapping[str, Any]) -> Preset:
    return Preset(name, str(table["title"]), str(table["help"]), dict(table.get("settings", {})))
