"""Reads a run's folder. It may come from somebody else, so its content is not trusted."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vqclip_nb import embedded
from vqclip_nb.errors import PaintWarning, PictureError, RunError, SettingsError
from vqclip_nb.images import HASHED, first_line
from vqclip_nb.paths import expand_home
from vqclip_nb.runs import checkpoint, layout, metadata
from vqclip_nb.runs.creation import identity
from vqclip_nb.runs.layout import frames
from vqclip_nb.safe_files import read
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

VERSION = 2
RUN_OPTIONS = ("every", "save_every", "metadata", "device")  # written into settings.json, but not into pictures
MOST_BYTES = 64 * 2**20  # limit for settings.json and timeline.jsonl; larger files are not read

__all__ = ["RUN_OPTIONS", "VERSION", "RunInfo", "frames", "inputs_of", "read_all", "refuse_paths"]


@dataclass(frozen=True)
class RunInfo:
    """The content of a run's folder. settings: at the first step.

    timeline: the edits so far, then those of later steps. parent: for a branch, the name of its parent's folder and the
    step. hashes: the sha256 of the models at the start, by name. identity: see `creation.identity`.
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
        """Read the folder of a run, of this or an earlier version. Raises RunError when it is not a run's folder."""
        folder = Path(folder)
        try:
            values = json.loads(read(folder / "settings.json", most=MOST_BYTES))
            timeline_path = folder / "timeline.jsonl"
            text = read(timeline_path, most=MOST_BYTES) if timeline_path.exists() else b""
            changes = [json.loads(line) for line in text.splitlines()]
        except (FileNotFoundError, NotADirectoryError):
            inner_runs = sorted(folder.glob("*/settings.json"))
            hint = f"; it holds runs, such as {str(inner_runs[-1].parent)!r}" if inner_runs else ""
            raise RunError(f"{str(folder)!r} is not a run's folder: it has no settings.json{hint}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"the run {str(folder)!r} cannot be read: {first_line(error)}") from None
        if isinstance(values, dict) and "settings" not in values:
            values = {"version": 0, "settings": values}
        try:
            info = cls(folder, **_fields(values, folder), timeline=tuple(map(Edit.from_dict, changes)))
            info.current  # noqa: B018 - an error is raised here, where the message can name the folder
            return info
        except (SettingsError, RunError) as error:
            raise RunError(f"the run {str(folder)!r} cannot be read: {error}") from None

    @property
    def inputs(self) -> Path:
        """The folder of the input pictures."""
        return self.folder / "inputs"

    @property
    def saved_steps(self) -> list[int]:
        """The steps with a saved state, the latest last."""
        return list(layout.states(self.folder))

    @property
    def current(self) -> Settings:
        """The settings after all edits."""
        changes = [change.to_dict() for change in self.timeline]
        return self.settings.replace(**embedded.at_the_end(self.settings.to_dict(), changes))

    def state(self, step: int) -> dict[str, Any]:
        """The state after this step. Raises RunError when it is not saved, or damaged."""
        if step not in self.saved_steps:
            steps = ", ".join(map(str, self.saved_steps)) or "none"
            raise RunError(f"step must be one with a saved state ({steps}), got {step}")
        state = checkpoint.unpack(path := layout.states(self.folder)[step])
        if state["facts"]["step"] != step or self._is_foreign(state["facts"]):
            raise RunError(f"the state {path.name} belongs to another run or step")
        return state

    def _is_foreign(self, facts: Mapping[str, Any]) -> bool:
        """Whether a state with these facts is from another run.

        States of earlier versions do not name their run: their settings must be this run's after the state's edits.
        """
        if run_identity := facts.get("run"):
            return bool(self.identity) and run_identity != self.identity
        try:
            values = embedded.at_the_end(self.settings.to_dict(), facts["timeline"])
            return self.settings.replace(**facts["settings"]) != self.settings.replace(**values)
        except (SettingsError, KeyError, TypeError, AttributeError):
            return True

    def latest_before(self, step: int) -> dict[str, Any] | None:
        """The latest undamaged state at or before this step, or None. Raises RunError for a step that was not made."""
        last = max([0, *(int(path.stem) for path in frames(self.folder)), *self.saved_steps])
        if not 0 < step <= last:
            raise RunError(f"step must be from 1 to {last}, the last step of this run, got {step}")
        return self.latest(until=step)

    def latest(self, *, until: int | None = None) -> dict[str, Any] | None:
        """The latest undamaged state, up to the step `until`, or None. Each damaged one causes a PaintWarning."""
        for step in reversed([step for step in self.saved_steps if until is None or step <= until]):
            try:
                return self.state(step)
            except RunError as error:
                warnings.warn(f"{error}; an earlier one is used", PaintWarning, stacklevel=2)
        return None


def inputs_of(source: Path) -> Path:
    """The folder of a run's input pictures. `source` is the run's folder, its result or one of its frames."""
    if not source.is_dir():
        source = source.parent.parent if source.parent.name == "frames" else source.parent
    return source / "inputs"


def refuse_paths(settings: Iterable[Mapping[str, Any]], source: Path | str) -> None:
    """Raise PictureError when settings from a file name an input picture by its path.

    vqclip itself writes only hashes. A path in a file from somebody else could make it copy a private file.
    """
    for values in settings:
        for name, field in metadata.input_pictures(values).items():
            if not HASHED.fullmatch(name):
                flag = "--" + field.replace("_", "-")
                problem = f"{str(source)!r} gives the path of {field}, {name!r}, which is not opened"
                raise PictureError(f"{problem}; if you want that picture, add {flag} with its path")


def read_all(out: str | Path) -> tuple[list[RunInfo], list[str]]:
    """The runs in a folder, by name, and the error messages of those that cannot be read."""
    infos: list[RunInfo] = []
    problems: list[str] = []
    for path in sorted(expand_home(out).glob("[!.]*/settings.json")):
        try:
            infos.append(RunInfo.read(path.parent))
        except RunError as error:
            problems.append(str(error))
    return infos, problems


def _fields(values: Any, folder: Path) -> dict[str, Any]:
    """The fields of a RunInfo from the content of settings.json. Raises RunError, SettingsError."""
    if not isinstance(values, dict) or not isinstance(settings := values.get("settings"), dict):
        raise RunError("settings.json has no settings")
    version = values.get("version")
    if type(version) is not int or not 0 <= version <= VERSION:
        problem = f"it has version {str(version)[:20]}, but this vqclip reads versions up to {VERSION}"
        raise RunError(f"{problem}; update vqclip")
    run_options, parent, hashes = values.get("place", {}), values.get("parent"), values.get("models")
    if not isinstance(run_options, dict) or not isinstance(hashes, dict | None):
        raise RunError("settings.json has an invalid place or models")
    if parent is not None and not (
        isinstance(parent, dict) and isinstance(parent.get("run"), str) and type(parent.get("step")) is int
    ):
        raise RunError("settings.json has an invalid parent")
    options = {name: value for name, value in run_options.items() if name in RUN_OPTIONS}
    return {
        "settings": Settings(**settings).replace(**options, out=str(folder.parent)),
        "parent": (parent["run"], parent["step"]) if parent else None,
        "begun": str(values.get("begun", ""))[:19],
        "hashes": hashes,
        "identity": identity(values),
    }
