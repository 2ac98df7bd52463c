"""A run's folder copied to a second place, such as a mounted drive, while it is painted."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from vqclip_nb.errors import RunError
from vqclip_nb.images import first_line
from vqclip_nb.paths import expanded
from vqclip_nb.runs import layout
from vqclip_nb.safe_files import need, numbered, tree
from vqclip_nb.safe_files import part as unfinished_name


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
    if not (folder / "settings.json").exists():  # gone, with its drive: then the copy is all there is
        raise FileNotFoundError(f"{folder} is not there")
    need(into, "a folder")  # what a link points to stays as it is
    into.mkdir(parents=True, exist_ok=True)
    for path in tree(folder):
        target = into / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        need(target.parent, "a folder")
        if not path.name.startswith(".") and not _same(path, target):
            part = unfinished_name(target)
            try:
                shutil.copy2(path, part, follow_symlinks=False)
                os.replace(part, target)
            except FileNotFoundError:  # of a run that is being painted: an old state, gone by now
                part.unlink(missing_ok=True)
    for name, suffix in ((layout.STATES, layout.STATE), (layout.FRAMES, layout.FRAME)):
        files = numbered(folder / name, suffix)
        for step, path in numbered(into / name, suffix).items() if files else ():
            if step > max(files) or (name == layout.STATES and step not in files):
                path.unlink(missing_ok=True)


def bring_back(copy: Path, folder: Path) -> None:
    """Make a run's folder of its copy, whole or not there; what broke off is gone on with. Raises RunError."""
    part = folder.with_name(f".{folder.name}.part")
    try:
        copy_over(copy, part)
        part.rename(folder)
    except OSError as error:
        message = f"the run could not be copied back from {copy}: {first_line(error)}"
        raise RunError(f"{message}; try again when that folder can be read") from None


def _same(path: Path, target: Path) -> bool:
    try:
        here, there = path.stat(), target.stat()
    except FileNotFoundError:
        return False
    return here.st_size == there.st_size and abs(here.st_mtime - there.st_mtime) < 2
