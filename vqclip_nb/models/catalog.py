"""The catalog: the known models, and their files on this machine."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from vqclip_nb import perceptor_names
from vqclip_nb.errors import PaintWarning
from vqclip_nb.paths import expand_home

KINDS = {"vqgan": "canvases", "clip": "perceptors", "biggan": "canvases"}
OPEN_CLIP = "open_clip/"  # prefix of the perceptors of open_clip_torch
STRIPPED = "stripped.safetensors"
ADDED = "added.json"


class UnknownModel(ValueError):
    """No model has this name; the message gives the closest names."""


@dataclass(frozen=True)
class Source:
    """A file of a model: the same bytes at each address, in order of preference."""

    file: str
    addresses: tuple[str, ...]
    size: int | None = None  # bytes; None when nobody published it
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """One model. `name` is unique within its kind; `full_name` is `kind/name`."""

    kind: str
    name: str
    good_at: str = ""
    licence: str = "unknown"
    note: str = ""
    alive: bool = True  # False: no address was reported alive
    aliases: tuple[str, ...] = ()
    config: dict[str, Any] | None = None
    sources: tuple[Source, ...] = ()
    packaged: tuple[str, ...] = ()  # files inside this package
    added: bool = field(default=False, compare=False)  # by the user, with `vqclip models add`

    @property
    def full_name(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def size(self) -> int | None:
        """Bytes to download, or of the packaged files; None if unknown."""
        if self.packaged:
            return sum(path.stat().st_size for path in self.files())
        return self.sources[0].size

    @property
    def weights(self) -> list[Path]:
        """Its packaged weights, one file for each network of this name."""
        return [self.folder / name for name in self.packaged if name.endswith(".safetensors")]

    @property
    def sha256(self) -> str | None:
        return self.sources[0].sha256 if self.sources else None

    @property
    def folder(self) -> Path:
        """The folder of this model's files, which may not exist yet."""
        if self.packaged:
            return Path(str(resources.files(__package__))) / "demo"
        return home() / self.kind / self.name.replace("/", "-").replace("@", "-")

    @property
    def stripped(self) -> Path:
        """The smaller copy that is written when the model is first loaded."""
        return self.folder / STRIPPED

    def files(self) -> list[Path]:
        """The complete files of this model on the disk, the published ones first."""
        names = self.packaged or (*(source.file for source in self.sources), STRIPPED)
        return [path for path in (self.folder / name for name in names) if path.is_file()]

    @property
    def on_disk(self) -> bool:
        """Whether it can be loaded without a download."""
        return len(self.files()) == len(self.packaged) if self.packaged else bool(self.files())


@dataclass(frozen=True)
class LanguageModel:
    """A language model that transformers downloads. `sha256`: of the weights in `file`."""

    name: str
    good_at: str
    licence: str
    revision: str
    file: str
    size: int
    sha256: str


def home() -> Path:
    """The cache folder: `VQCLIP_HOME`, or where this platform keeps caches. It is not created here."""
    if path := os.environ.get("VQCLIP_HOME"):
        return expand_home(path)
    return platformdirs.user_cache_path("vqclip_nb")


def entries(kind: str | None = None) -> list[Entry]:
    """All models, or those of one kind: the published ones in the catalog's order, then the user's own."""
    models = [*_read_published(), *_read_added()]
    return [entry for entry in models if kind in (None, entry.kind)]


def info(name: str, kind: str | None = None) -> Entry:
    """The entry of a model, by name, alias or `kind/name`. Case is ignored if that is unambiguous.

    If several kinds share a name ("demo"), the first of vqgan, clip, biggan is returned, unless `kind` is given. Raises
    `UnknownModel` with the closest names.
    """
    models = entries(kind)
    for entry in models:
        if name in _names(entry):
            return entry
    alike = [entry for entry in models if name.lower() in map(str.lower, _names(entry))]
    if len(alike) == 1:
        return alike[0]

    names = list(dict.fromkeys(entry.name for entry in models))
    by_lower_case = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.rpartition("/")[2].lower(), by_lower_case, n=3, cutoff=0.4)
    close += difflib.get_close_matches(name.lower(), by_lower_case, n=3, cutoff=0.4)
    near = list(dict.fromkeys(by_lower_case[match] for match in close))[:3] or names[:5]
    what = f"{kind} model" if kind else "model"
    raise UnknownModel(f"there is no {what} {name!r}; the closest are {', '.join(near)} (`vqclip models` lists all)")


def language_model() -> LanguageModel:
    """The default language model for writing prompts."""
    ((name, table),) = _tables()["language"].items()
    return LanguageModel(name, **table)


def _names(entry: Entry) -> tuple[str, ...]:
    return (entry.full_name, entry.name, *entry.aliases, *(f"{entry.kind}/{alias}" for alias in entry.aliases))


def chosen(canvases: Iterable[str], perceptor: str) -> list[Entry]:
    """The entries of canvases ("vqgan/demo", "pixels") and of perceptors joined by "+". Raises `UnknownModel`.

    Models of open_clip have no entry: that package manages them itself.
    """
    names = perceptor_names.parse(perceptor)
    perceptors = [info(name, "clip") for name in names if not name.startswith(OPEN_CLIP)]
    parts = [canvas.partition("/") for canvas in dict.fromkeys(canvases)]
    return [*perceptors, *(info(model, family) for family, _, model in parts if model)]


def save(entry: Entry) -> None:
    """Write the entry of the user's own model beside its weights."""
    entry.folder.mkdir(parents=True, exist_ok=True)
    fresh = entry.folder / f"{ADDED}.part"
    fresh.write_text(json.dumps(asdict(entry), indent=2), encoding="utf-8")
    os.replace(fresh, entry.folder / ADDED)


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("catalog.toml").read_text(encoding="utf-8"))


@cache
def _read_published() -> tuple[Entry, ...]:
    tables = _tables()
    shapes = tables["ddconfig"]
    return tuple(_entry(kind, name, table, shapes) for kind in KINDS for name, table in tables[kind].items())


def _entry(kind: str, name: str, table: dict[str, Any], shapes: dict[str, Any]) -> Entry:
    table = dict(table)
    config = table.pop("config", None)
    if config and kind == "vqgan":
        config = {"target": config.pop("target"), "params": {**config, "ddconfig": shapes[config["ddconfig"]]}}
    sources = tuple(_source(source) for source in table.pop("sources", ()))
    aliases, packaged = (tuple(table.pop(key, ())) for key in ("aliases", "packaged"))
    return Entry(kind, name, config=config, sources=sources, aliases=aliases, packaged=packaged, **table)


def _source(table: dict[str, Any]) -> Source:
    facts = {key: None if table[key] == "unknown" else table[key] for key in ("size", "sha256")}
    return Source(table["file"], tuple(table["addresses"]), **facts)


def _read_added() -> list[Entry]:
    result = []
    for path in sorted(path for kind in ("vqgan", "clip") for path in home().glob(f"{kind}/*/{ADDED}")):
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            table["sources"] = tuple(Source(**{**s, "addresses": tuple(s["addresses"])}) for s in table["sources"])
            table["aliases"], table["packaged"] = (), ()
            result.append(Entry(**table))
        except (OSError, ValueError, LookupError, TypeError) as error:
            message = f"{path} is damaged ({error}), and its model left out; delete its folder, and add it again"
            warnings.warn(message, PaintWarning, stacklevel=3)
    return result
