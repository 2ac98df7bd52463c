"""Reading a run's folder, with care, since it may be anybody's."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vqclip_nb import embedded
from vqclip_nb.errors import PaintWarning, PictureError, RunError, SettingsError
from vqclip_nb.images import HASHED, first_line
from vqclip_nb.paths import expanded
from vqclip_nb.runs import checkpoint, layout, metadata
from vqclip_nb.runs.founding import identity
from vqclip_nb.runs.layout import frames
from vqclip_nb.safe_files import read
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

VERSION = 2
PLACE = ("every", "save_every", "metadata", "device")  # written into settings.json, and into no picture
MOST_BYTES = 64 * 2**20  # of settings.json or timeline.jsonl; a larger one is refused before it is read

__all__ = ["PLACE", "VERSION", "RunInfo", "frames", "inputs_of", "read_all", "refuse_paths"]


@dataclass(frozen=True)
class RunInfo:
    """A run's folder, read. `settings` are those of the first step; `parent` is what a branch began from.

    timeline: the changes that were made, and after them those that are ahead. parent: the name of the folder and the
    step. hashes: of the models it began with. identity: what its states know it by (`founding.identity`).
    """

    folder: Path
    settings: Settings
    timeline: tuple[Edit, ...] = ()
    parent: tuple[str, int] | None = None
    begun: str = ""
    hashes: Mapping[str, str] | None = None
    identity: str = ""

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read a folder, of this version or an earlier one. Raises RunError, in one line, when it is no run's."""
        folder = Path(folder)
        try:
            values = json.loads(read(folder / "settings.json", most=MOST_BYTES))
            lines = folder / "timeline.jsonl"
            text = read(lines, most=MOST_BYTES) if lines.exists() else b""
            changes = [json.loads(line) for line in text.splitlines()]
        except (FileNotFoundError, NotADirectoryError):
            raise RunError(f"{str(folder)!r} is no run's folder: there is no settings.json in it") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"the run {str(folder)!r} cannot be read: {first_line(error)}") from None
        if isinstance(values, dict) and "settings" not in values:
            values = {"version": 0, "settings": values}
        try:
            story = cls(folder, **_fields(values, folder), timeline=tuple(map(Edit.from_dict, changes)))
            story.current  # noqa: B018 - what cannot be is said here, where the folder is known
            return story
        except (SettingsError, RunError) as error:
            raise RunError(f"the run {str(folder)!r} cannot be read: {error}") from None

    @property
    def inputs(self) -> Path:
        """The folder of the pictures that it was given."""
        return self.folder / "inputs"

    @property
    def kept(self) -> list[int]:
        """The steps whose state is kept, the latest last."""
        return list(layout.states(self.folder))

    @property
    def current(self) -> Settings:
        """The settings after all changes."""
        changes = [change.to_dict() for change in self.timeline]
        return self.settings.replace(**embedded.at_the_end(self.settings.to_dict(), changes))

    def state(self, step: int) -> dict[str, Any]:
        """The state after this step. Raises RunError when it is not kept, or not whole."""
        if step not in self.kept:
            there = ", ".join(map(str, self.kept)) or "none"
            raise RunError(f"step must be one whose state is kept ({there}), got {step}")
        state = checkpoint.unpack(path := layout.states(self.folder)[step])
        if state["facts"]["step"] != step or self._is_foreign(state["facts"]):
            raise RunError(f"the state {path.name} is of another run or step")
        return state

    def _is_foreign(self, facts: Mapping[str, Any]) -> bool:
        """Whether a state with these facts was kept by another run.

        A state of an earlier version does not say whose it is: its settings must then be what this run's settings
        and the changes in the state make.
        """
        if known_by := facts.get("run"):
            return bool(self.identity) and known_by != self.identity
        try:
            changed = embedded.at_the_end(self.settings.to_dict(), facts["timeline"])
            return self.settings.replace(**facts["settings"]) != self.settings.replace(**changed)
        except (SettingsError, KeyError, TypeError, AttributeError):
            return True

    def before(self, step: int) -> dict[str, Any] | None:
        """The latest state that is kept, and whole, at this step or before it; None where there is none.

        Raises RunError when the run did not come so far.
        """
        made = max((int(path.stem) for path in frames(self.folder)), default=0)
        if not 0 < step <= max([made, *self.kept]):
            raise RunError(f"step must be one that this run made, from 1 to {max([made, *self.kept])}, got {step}")
        return self.latest(until=step)

    def latest(self, *, until: int | None = None) -> dict[str, Any] | None:
        """The latest state that is whole, `until` a step, or None; one that is not is a PaintWarning."""
        for step in reversed([kept for kept in self.kept if until is None or kept <= until]):
            try:
                return self.state(step)
            except RunError as error:
                warnings.warn(f"{error}; what came before it is taken", PaintWarning, stacklevel=2)
        return None


def inputs_of(source: Path) -> Path:
    """Where the pictures lie that a run was given: its folder, its result or one of its frames."""
    if not source.is_dir():
        source = source.parent.parent if source.parent.name == "frames" else source.parent
    return source / "inputs"


def refuse_paths(recipes: Iterable[Mapping[str, Any]], source: Path | str) -> None:
    """Raise PictureError when settings from somebody's file name a picture by its path.

    What vqclip writes names pictures by their hash alone; a path would be opened, and copied, unasked.
    """
    for recipe in recipes:
        for name, field in metadata.given_pictures(recipe).items():
            if not HASHED.fullmatch(name):
                flag = "--" + field.replace("_", "-")
                said = f"{str(source)!r} names {field} {name!r} by its path, and files named by a file are not opened"
                raise PictureError(f"{said}; if you mean that picture, add {flag} with its path")


def read_all(out: str | Path) -> tuple[list[RunInfo], list[str]]:
    """The runs in a folder, by name, and what is wrong with those that cannot be read."""
    found: list[RunInfo] = []
    wrong: list[str] = []
    for path in sorted(expanded(out).glob("[!.]*/settings.json")):
        try:
            found.append(RunInfo.read(path.parent))
        except RunError as error:
            wrong.append(str(error))
    return found, wrong


def _fields(values: Any, folder: Path) -> dict[str, Any]:
    """The fields of a Story from what settings.json holds. Raises RunError, SettingsError."""
    if not isinstance(values, dict) or not isinstance(recipe := values.get("settings"), dict):
        raise RunError("settings.json holds no settings")
    version = values.get("version")
    if type(version) is not int or not 0 <= version <= VERSION:
        raise RunError(f"it is of version {str(version)[:20]}, and this vqclip reads up to {VERSION}; update it")
    place, parent, hashes = values.get("place", {}), values.get("parent"), values.get("models")
    if not isinstance(place, dict) or not isinstance(hashes, dict | None):
        raise RunError("settings.json holds a place or models that are not ours")
    if parent is not None and not (
        isinstance(parent, dict) and isinstance(parent.get("run"), str) and type(parent.get("step")) is int
    ):
        raise RunError("settings.json holds a parent that is not ours")
    known = {name: value for name, value in place.items() if name in PLACE}
    return {
        "settings": Settings(**recipe).replace(**known, out=str(folder.parent)),
        "parent": (parent["run"], parent["step"]) if parent else None,
        "begun": str(values.get("begun", ""))[:19],
        "hashes": hashes,
        "identity": identity(values),
    }
