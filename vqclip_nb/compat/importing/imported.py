"""Imported settings of another tool."""

from dataclasses import dataclass

from vqclip_nb.settings import Settings


@dataclass(frozen=True)
class Imported:
    """Settings from another tool.

    tool: its title. preset: the preset that the settings start from. lost: a sentence for each option that could not be
    converted.
    """

    tool: str
    settings: Settings
    preset: str = ""
    lost: tuple[str, ...] = ()
