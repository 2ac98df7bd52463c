"""Backup: a run's folder is copied to a second folder, such as one on a mounted drive, while it is painted."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from vqclip_nb.errors import RunError
from vqclip_nb.images import first_line
from vqclip_nb.paths import expand_home
from vqclip_nb.runs import layout
from vqclip_nb.safe_files import need, numbered_files, tree
from vqclip_nb.safe_files import part as unfinished_name


class Mirror:
    """Copies runs to a second folder in a thread. Painting never waits, and an error is reported once for each run."""

    def __init__(self, place: str | Path, tell: Callable[[str], object] = lambda said: None) -> None:
        self.place, self._tell = expand_home(place).absolute(), tell
        self._wanted: dict[Path, None] = {}  # in the order of the calls
        self._failing: set[Path] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def copy(self, folder: Path) -> None:
        """Copy the new files of a run, soon."""
        with self._lock:
            self._wanted[folder] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="vqclip-mirror", daemon=True)
                self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all copies were tried. Returns whether all are complete."""
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
    """Make `into` an exact copy of a run's folder; each file is written atomically. Raises OSError.

    Files that the run has deleted, such as old states and frames after an Undo, are deleted there too.
    """
    if not (folder / "settings.json").exists():  # if its drive is gone, the copy must stay
        raise FileNotFoundError(f"{folder} does not exist")
    need(into, "a folder")  # never write through a link
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
            except FileNotFoundError:  # an old state that the running job has just deleted
                part.unlink(missing_ok=True)
    for name, suffix in ((layout.STATES, layout.STATE), (layout.FRAMES, layout.FRAME)):
        files = numbered_files(folder / name, suffix)
        for step, path in numbered_files(into / name, suffix).items() if files else ():
            if step > max(files) or (name == layout.STATES and step not in files):
                path.unlink(missing_ok=True)


def bring_back(copy: Path, folder: Path) -> None:
    """Restore a run's folder from its copy, completely or not at all; an interrupted restore continues.

    Raises RunError.
    """
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
