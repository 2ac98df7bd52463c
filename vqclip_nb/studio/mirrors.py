"""Mirrors: a run's folder copied to a second place, such as a mounted drive, while it is painted."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from vqclip_nb.images import first_line
from vqclip_nb.stories import frames


class Mirror:
    """Copies a run to `place`, in a thread of its own; trouble is told once, and the painting never waits."""

    def __init__(self, place: str | Path, tell: Callable[[str], object] = lambda said: None) -> None:
        self.place, self._tell = Path(place).expanduser(), tell
        self._wanted: Path | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._said = False

    def copy(self, folder: Path) -> None:
        """Copy what is new of a run, soon."""
        with self._lock:
            self._wanted = folder
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="vqclip-mirror", daemon=True)
                self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all that was asked for was tried; whether it is all there."""
        if thread := self._thread:
            thread.join(seconds)
        return self._thread is None and not self._said

    def _work(self) -> None:
        while True:
            with self._lock:
                folder, self._wanted = self._wanted, None
                if folder is None:
                    self._thread = None
                    return
            try:
                copy_over(folder, self.place / folder.name)
                self._said = False
            except OSError as error:
                if not self._said:
                    self._tell(f"The copy in {self.place} could not be written: {first_line(error)}")
                self._said = True


def copy_over(folder: Path, into: Path) -> None:
    """Make `into` hold what a run's folder holds, each file whole or not at all. Raises OSError.

    States that are gone from the folder go there, too, and frames after its last one, which an Undo took away.
    """
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*")):
        target = into / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif not path.name.startswith(".") and not _same(path, target):
            part = target.with_name(f".{target.name}.part")
            try:
                shutil.copy2(path, part)
                os.replace(part, target)
            except FileNotFoundError:  # of a run that is being painted: an old state, gone by now
                part.unlink(missing_ok=True)
    for state in into.glob("state/*.safetensors"):
        if not (folder / "state" / state.name).exists():
            state.unlink(missing_ok=True)
    for frame in frames(into):
        if (here := frames(folder)) and frame.name > here[-1].name:
            frame.unlink(missing_ok=True)


def _same(path: Path, target: Path) -> bool:
    try:
        here, there = path.stat(), target.stat()
    except FileNotFoundError:
        return False
    return here.st_size == there.st_size and abs(here.st_mtime - there.st_mtime) < 2
