"""Elsewhere: other tools whose commands are not taken here, and how each of their options is done."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

FATES = ("here", "moot", "missing")


@dataclass(frozen=True)
class Row:
    """Options of one answer. fate: it is done here in another way, has no meaning here, or is missing."""

    names: tuple[str, ...]
    fate: Literal["here", "moot", "missing"]
    said: str


@dataclass(frozen=True)
class Peer:
    """A tool. preset: its recipe here, or "". direct: settings that take an option's value unchanged, by the option."""

    name: str
    title: str
    preset: str
    direct: Mapping[str, str]
    rows: tuple[Row, ...]

    def row(self, option: str) -> Row | None:
        """What is said of an option, or None for one that is not known."""
        return next((row for row in self.rows if option in row.names), None)


@cache
def peers() -> Mapping[str, Peer]:
    """The tools by name, in the order of the alphabet."""
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
