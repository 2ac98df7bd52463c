"""Plugins: canvases, objectives and presets that other installed packages add, by entry point.

A package declares, for instance:

    [project.entry-points."vqclip_nb.canvases"]
    dots = "my_package.dots"
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

GROUPS = ("vqclip_nb.canvases", "vqclip_nb.objectives", "vqclip_nb.presets")


@cache
def entry_points_of(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group, one of GROUPS, by name. They are not imported yet."""
    return MappingProxyType({point.name: point for point in entry_points(group=group)})
