"""Imported: what was read of another tool."""

from dataclasses import dataclass

from vqclip_nb.settings import Settings


@dataclass(frozen=True)
class Imported:
    """Settings from another tool. tool: its title. preset: the recipe beside it. lost: what could not be carried."""

    tool: str
    settings: Settings
    preset: str = ""
    lost: tuple[str, ...] = ()
