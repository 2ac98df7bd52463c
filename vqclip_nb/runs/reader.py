"""Stories: what a run's folder says of itself, read with care, since the folder may be anybody's."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vqclip_nb import embedded
from vqclip_nb.errors import PaintWarning, RunError, SettingsError
from vqclip_nb.images import first_line
from vqclip_nb.paths import expanded
from vqclip_nb.runs import checkpoint
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

VERSION = 2
PLACE = ("every", "save_every", "metadata", "device")  # written into settings.json, and into no picture


@dataclass(frozen=True)
class RunInfo:
    """A run's folder, read. `settings` are those of the first step; `parent` is what a branch began from.

    timeline: the changes that were made, and after them those that are ahead. parent: the name of the folder and the
    step. hashes: of the models it began with.
    """

    folder: Path
    settings: Settings
    timeline: tuple[Edit, ...] = ()
    parent: tuple[str, int] | None = None
    begun: str = ""
    hashes: Mapping[str, str] | None = None

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read a folder, of this version or an earlier one. Raises RunError, in one line, when it is no run's."""
        folder = Path(folder)
        try:
            values = json.loads((folder / "settings.json").read_bytes())
            lines = folder / "timeline.jsonl"
            changes = [json.loads(line) for line in lines.read_bytes().splitlines()] if lines.exists() else []
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
        return sorted(int(path.stem) for path in self.folder.glob("state/*.safetensors") if path.stem.isdecimal())

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
        return checkpoint.unpack(self.folder / "state" / f"{step:06}.safetensors")

    def before(self, step: int) -> dict[str, Any] | None:
        """The latest state that is kept, and whole, at this step or before it; None where there is none.

        Raises RunError when the run did not come so far.
        """
        made = max((int(path.stem) for path in self.folder.glob("frames/*.jpg") if path.stem.isdecimal()), default=0)
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


def frames(folder: Path) -> list[Path]:
    """The pictures that a run has kept, in order."""
    return sorted(path for path in folder.glob("frames/*.jpg") if path.stem.isdecimal())


def inputs_of(source: Path) -> Path:
    """Where the pictures lie that a run was given: its folder, its result or one of its frames."""
    if not source.is_dir():
        source = source.parent.parent if source.parent.name == "frames" else source.parent
    return source / "inputs"


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
    }
