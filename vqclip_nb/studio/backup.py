"""A run's folder copied to a second place, such as a mounted drive, while it is painted."""

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from vqclip_nb.errors import RunError
from vqclip_nb.images import first_line
from vqclip_nb.paths import expanded
from vqclip_nb.runs import layout
from vqclip_nb.safe_files import is_plain, kind, need, part, tree


class Mirror:
    """Copies runs to `place`, in a thread of its own; trouble with a run is told once, and the painting never waits."""

    def __init__(self, place: str | Path, tell: Callable[[str], object] = lambda said: None) -> None:
        self.place, self._tell = expanded(place).absolute(), tell
        self._wanted: dict[Path, None] = {}  # in the order they were asked for
        self._failing: set[Path] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def copy(self, folder: Path) -> None:
        """Copy what is new of a run, soon."""
        with self._lock:
            self._wanted[folder] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="vqclip-mirror", daemon=True)
                self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all that was asked for was tried; whether it is all there."""
        if thread := self._thread:
            thread.join(seconds)
        return self._thread is None and not self._failing

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                folder = next(iter(self._wanted))
                del self._wanted[folder]
            try:
                copy_over(folder, self.place / folder.name)
                self._failing.discard(folder)
            except OSError as error:
                if folder not in self._failing:
                    self._tell(f"The copy in {self.place} could not be written: {first_line(error)}")
                self._failing.add(folder)


def copy_over(folder: Path, into: Path) -> None:
    """Make `into` hold what a run's folder holds, each file whole or not at all. Raises OSError.

    States that newer ones took the place of go there, too, and frames after the last one, which an Undo took away.
    """
    if not layout.is_run(folder):  # gone, with its drive: then the copy is all there is
        raise FileNotFoundError(f"{folder} is not there")
    into.parent.mkdir(parents=True, exist_ok=True)
    for name in ("", layout.FRAMES, layout.STATES, layout.INPUTS):
        need(into / name, "a folder")  # what a link points to stays as it is
        if kind(folder / name) == "a folder":
            (into / name).mkdir(exist_ok=True)
    for path in tree(folder):
        names = path.relative_to(folder).parts
        target = into.joinpath(*names)
        if len(names) > 2 or any(name.startswith(".") for name in names) or _same(path, target):
            continue  # a run has one level of subfolders
        try:
            target.parent.mkdir(exist_ok=True)
            need(target.parent, "a folder")
            shutil.copy2(path, unfinished := part(target))
            os.replace(unfinished, target)
        except FileNotFoundError:  # of a run that is being painted: an old state, gone by now
            part(target)
    _forget(layout.frames(folder), layout.frames(into), all_gone=False)
    _forget(list(layout.states(folder).values()), list(layout.states(into).values()), all_gone=True)


def _forget(here: Sequence[Path], there: Sequence[Path], *, all_gone: bool) -> None:
    """Delete in the copy what is later than all that is here, and, with `all_gone`, whatever is not here."""
    names = {path.name for path in here}
    for path in there if names else ():
        if path.name > max(names) or (all_gone and path.name not in names):
            path.unlink(missing_ok=True)


def bring_back(copy: Path, folder: Path) -> None:
    """Make a run's folder of its copy, whole or not there; what broke off is gone on with. Raises RunError."""
    unfinished = folder.with_name(f".{folder.name}.part")
    try:
        copy_over(copy, unfinished)
        unfinished.rename(folder)
    except OSError as error:
        said = f"the run could not be copied back from {copy}: {first_line(error)}"
        raise RunError(f"{said}; try again when that folder can be read") from None


def _same(path: Path, target: Path) -> bool:
    try:
        here, there = path.lstat(), target.lstat()
    except FileNotFoundError:
        return False
    return is_plain(target) and here.st_size == there.st_size and abs(here.st_mtime - there.st_mtime) < 2
