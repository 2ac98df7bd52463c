"""Items: what a sweep paints, read from YAML, JSON, CSV or a file with one prompt a line."""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

from vqclip_nb import presets
from vqclip_nb.documents import parse, text_of
from vqclip_nb.errors import SettingsError
from vqclip_nb.runs.creation import slug
from vqclip_nb.schema import closest
from vqclip_nb.settings import Settings

LIMIT = 10_000  # items, unless a caller allows more
KEYS = ("settings", "cross", "items")
EXAMPLE = """\
# A sweep: `vqclip sweep this-file.yaml --out sweep`. Every name under a heading is a setting of `vqclip paint`.

settings:            # for all pictures
  steps: 60
  size: 128

cross:               # every prompt with every seed: four pictures
  prompt:
    - a castle in a snowy field at night
    - a tree in a green meadow by day, a watercolor
  seed: [0, 1]

items:               # and single pictures besides
  - {prompt: a yellow star on a blue background, preset: quick}
"""


@dataclass(frozen=True)
class Item:
    """One picture of a sweep. differs: the settings of this item alone, by name, as in the sweep's file."""

    settings: Settings
    differs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the item's folder. The same settings always give the same name."""
        text = json.dumps(self.settings.to_dict(), sort_keys=True, ensure_ascii=False)
        return f"{slug(self.settings.prompt)}-{self.settings.seed}-{sha256(text.encode()).hexdigest()[:8]}"

    @property
    def label(self) -> str:
        """The settings in which it differs from the other items, in one line."""
        return ", ".join(str(value) if name == "prompt" else f"{name} {value}" for name, value in self.differs.items())


def read_items(path: Path, *, limit: int = LIMIT, common: Mapping[str, Any] | None = None) -> list[Item]:
    """The items of a sweep's file. common: settings for all items, which settings in the file override.

    Raises SettingsError, in one line, for an invalid file, more than `limit` items, or two items that are the same.
    """
    text = text_of(path)
    kind = path.suffix.lower()
    if kind in (".yaml", ".yml", ".json"):
        rows, shared = _from_mapping(parse(text, path), path, limit)
    elif kind == ".csv":
        rows, shared = [_nonempty(row, path) for row in csv.DictReader(io.StringIO(text))], {}
    else:
        lines = (line.strip() for line in text.splitlines())
        rows, shared = [{"prompt": line} for line in lines if line and not line.startswith("#")], {}
    if not rows:
        raise SettingsError(f"the sweep {str(path)!r} has no items; `vqclip sweep --example` prints one")
    if len(rows) > limit:
        raise SettingsError(_too_many(len(rows), limit))
    return make_items(rows, {**(common or {}), **shared})


def make_items(rows: Iterable[Mapping[str, Any]], common: Mapping[str, Any] | None = None) -> list[Item]:
    """One item for each row of settings; a row may have `preset`, the name of a preset. Raises SettingsError."""
    items: list[Item] = []
    for number, row in enumerate(rows, 1):
        try:
            items.append(Item(Settings(**_with_preset({**(common or {}), **row})), dict(row)))
        except SettingsError as error:
            raise SettingsError(f"item {number} of the sweep: {error}") from None
    return check_distinct(items)


def check_distinct(items: list[Item]) -> list[Item]:
    """Return the items. Raises SettingsError if two of them are the same picture."""
    counts: dict[str, int] = {}
    for number, item in enumerate(items, 1):
        if earlier := counts.get(item.name):
            raise SettingsError(f"items {earlier} and {number} of the sweep are the same picture; leave one out")
        counts[item.name] = number
    return items


def _with_preset(values: dict[str, Any]) -> dict[str, Any]:
    name = values.pop("preset", None)
    return values if name is None else {**presets.load(str(name)).settings, **values}


def _from_mapping(values: Any, path: Path, limit: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a YAML or JSON file, and the settings for all rows."""
    if isinstance(values, list):
        values = {"items": values}
    if not isinstance(values, dict):
        raise SettingsError(f"the sweep {str(path)!r} must hold {', '.join(KEYS)}, got {type(values).__name__}")
    for key in values.keys() - set(KEYS):
        raise SettingsError(f"the sweep {str(path)!r} has no heading {key!r}{closest(str(key), KEYS)}")
    shared, cross, items = values.get("settings") or {}, values.get("cross") or {}, values.get("items") or []
    if not isinstance(shared, dict) or not isinstance(cross, dict):
        raise SettingsError(f"the sweep {str(path)!r}: settings and cross must be settings by name")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SettingsError(f"the sweep {str(path)!r}: items must be a list of settings by name")
    for name, choices in cross.items():
        if not isinstance(choices, list) or not choices:
            raise SettingsError(
                f"the sweep {str(path)!r}: {name} under cross must be a list of values, got {choices!r}"
            )
    count = prod(map(len, cross.values())) if cross else 0
    if count > limit:
        raise SettingsError(_too_many(count, limit))
    rows = [dict(zip(cross, combination, strict=True)) for combination in itertools.product(*cross.values())]
    return (rows if cross else []) + items, shared


def _too_many(count: int, limit: int) -> str:
    return f"the sweep has {count:,} items, more than {limit:,}; `--limit {count}` allows them"


def _nonempty(row: Mapping[str | None, Any], path: Path) -> dict[str, Any]:
    """The cells of a CSV row that are not empty, by column."""
    if None in row:
        raise SettingsError(f"the sweep {str(path)!r}: a row has more cells than the first line names")
    return {str(name): value for name, value in row.items() if value not in (None, "")}


def varied_settings(items: Sequence[Item]) -> list[str]:
    """The names of the settings in which the items differ, in the order of the file."""
    names = dict.fromkeys(name for item in items for name in item.differs)
    return [name for name in names if len({str(item.differs.get(name)) for item in items}) > 1]
