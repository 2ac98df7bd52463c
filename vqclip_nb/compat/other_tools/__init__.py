"""Other tools whose commands do not work here, with the equivalent of each of their options."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

FATES = ("here", "moot", "missing")


@dataclass(frozen=True)
class Row:
    """Options that share an answer. fate: they have an equivalent here, have no effect here (moot), or are missing."""

    names: tuple[str, ...]
    fate: Literal["here", "moot", "missing"]
    answer: str


@dataclass(frozen=True)
class Peer:
    """A tool. preset: the preset with its settings, or "". direct: options whose value becomes a setting unchanged."""

    name: str
    title: str
    preset: str
    direct: Mapping[str, str]
    rows: tuple[Row, ...]

    def row(self, option: str) -> Row | None:
        """The row of an option, or None for an unknown option."""
        return next((row for row in self.rows if option in row.names), None)


@cache
def peers() -> Mapping[str, Peer]:
    """The tools by name, in alphabetical order."""
    files = [file for file in resources.files(__package__).iterdir() if file.name.endswith(".toml")]
    return {peer.name: peer for peer in sorted(map(_peer, files), key=lambda peer: peer.name)}


def _peer(file: resources.abc.Traversable) -> Peer:
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    rows = [
        Row(tuple(name.strip() for name in names.split(",")), fate, meaning)  # type: ignore[arg-type]
        for fate in FATES
        for names, meaning in table.get(fate, {}).items()
    ]
    return Peer(file.name.removesuffix(".toml"), table["title"], table["preset"], table["direct"], tuple(rows))
