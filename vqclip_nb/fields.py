"""Fields: the one list of all settings, for the command line, the form, the reference and the metadata."""

from vqclip_nb import canvases
from vqclip_nb.schema import FieldSpec, describe
from vqclip_nb.settings import GROUPS, Settings

__all__ = ["GROUPS", "FieldSpec", "by_name", "fields", "live_fields"]


def fields(settings: Settings | None = None) -> list[FieldSpec]:
    """All fields of Settings, and the options of the canvas in `settings` (without it: of all canvases), by group."""
    specs = canvases.specs() if settings is None else [canvases.spec(settings.canvas)]
    options = [option for spec in specs for option in spec.fields]
    own = [field for field in describe(Settings) if field.name != "canvas_options"]
    return sorted([*own, *options], key=lambda field: GROUPS.index(field.group))


def by_name(name: str) -> FieldSpec:
    """One field of Settings, or the first option of a canvas that has this name. Raises KeyError."""
    return {field.name: field for field in reversed(fields())}[name]


def live_fields(settings: Settings | None = None) -> frozenset[str]:
    """The names of the fields that may change during a run."""
    return frozenset(field.name for field in fields(settings) if field.live)
