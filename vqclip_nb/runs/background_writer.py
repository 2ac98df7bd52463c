"""The background writer: writes a run's files in a thread, and holds in memory what cannot be written."""

import queue
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vqclip_nb.errors import PaintWarning, RunError
from vqclip_nb.runs.layout import LOCK
from vqclip_nb.safe_files import kind, need, write

MOST_HELD = 512 * 2**20  # bytes; above it every second held picture is dropped


def claim(folder: Path) -> Any:
    """Take a folder's lock. Raises RunError when another process has it; a dead process no longer has it.

    This process may claim a folder again, to resume a run that it abandoned. On drives without locks nothing is locked.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, thread_local=False, is_singleton=True)
    try:
        if kind(folder / LOCK) not in ("a file", None):
            (folder / LOCK).unlink()  # a link or folder is not our lock; unlink does not touch its target
        if folder.is_dir():  # FileLock creates parent folders, which would hide an unmounted drive
            lock.acquire(timeout=0.2)  # `check_free` may hold it for a moment
    except Timeout:
        message = f"the run {str(folder)!r} is being painted in another notebook or terminal; stop it there first"
        raise RunError(message) from None
    except (OSError, NotImplementedError):
        pass
    return lock


def check_free(folder: Path) -> None:
    """Raise RunError when another process writes in this folder."""
    if (folder / LOCK).exists():
        claim(folder).release()


class BackgroundWriter:
    """A thread that writes files in order, each atomically. Raises RunError as `claim` does.

    If the disk is full or the folder is gone, it warns once, holds the files in memory, and tries again with each new
    file. `first_files` are the files that the folder needs if it has to be created again.
    """

    def __init__(self, folder: Path, first_files: Mapping[str, bytes]) -> None:
        self.folder, self.first_files = (
            folder.absolute(),
            dict(first_files),
        )
        self._lock = claim(folder)
        self.held: dict[str, bytes | None] = {}  # by name within the folder, in order; None deletes
        self._coming: queue.Queue[tuple[str, Callable[[], bytes] | None] | None] = queue.Queue(maxsize=8)
        self._failing = False
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="vqclip-writer", daemon=True)
        self._thread.start()

    def put(self, name: str, make: Callable[[], bytes]) -> None:
        """Write the result of `make` under this name. Returns at once, unless eight files are waiting."""
        self._coming.put((name, make))
        self._say()

    def remove(self, name: str) -> None:
        """Delete the file of this name, after the files before it are written."""
        self._coming.put((name, None))

    def has(self, name: str) -> bool:
        """Whether the file of this name is on the disk, or held in memory."""
        return self.held.get(name) is not None or (self.folder / name).exists()

    def flush(self) -> bool:
        """Wait until all files were tried. Returns whether all are on the disk."""
        self._coming.join()
        self._say()
        return not self.held

    def close(self) -> bool:
        """Flush, end the thread and release the folder. Returns whether all files are on the disk."""
        complete = self.flush()
        self._coming.put(None)
        self._thread.join()
        with suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release(force=True)
        return complete

    def move(self, folder: Path) -> None:
        """From now on write into another folder, beginning with the held files."""
        self.folder = folder
        self._write_held()

    def _work(self) -> None:
        while (item := self._coming.get()) is not None:
            name, make = item
            self.held.pop(name, None)
            try:
                self.held[name] = make and make()
            except Exception as error:  # one file must not end the painting
                self._news.put(f"{name} could not be made: {error}")
            self._write_held()
            self._coming.task_done()

    def _write_held(self) -> None:
        """Write the held files, oldest first, until one fails."""
        try:
            if not self.folder.is_dir():
                self.folder.mkdir()  # not its parents: they would hide an unmounted drive
                self.held = {**self.first_files, **self.held}
            while self.held:
                name, data = next(iter(self.held.items()))
                path = self.folder / name
                path.parent.mkdir(exist_ok=True)
                if path.parent != self.folder:
                    need(path.parent, "a folder")
                if data is None:
                    path.unlink(missing_ok=True)
                else:
                    write(path, data, sync=path.suffix == ".safetensors")
                del self.held[name]
        except OSError as error:
            if not self._failing:
                reason = error.strerror or str(error)
                self._news.put(
                    f"the run's folder cannot be written to ({reason}); the painting goes on in memory, "
                    f"and is saved when it can be: {self.folder}"
                )
            self._failing = True
            self._thin()
        else:
            if self._failing:
                self._news.put(f"the run's folder can be written to again, and all is saved: {self.folder}")
            self._failing = False

    def _thin(self) -> None:
        """Drop every second held picture when they use too much memory."""
        if sum(len(data or b"") for data in self.held.values()) > MOST_HELD:
            for name in [name for name in self.held if name.startswith("frames/")][::2]:
                del self.held[name]

    def _say(self) -> None:
        while not self._news.empty():
            warnings.warn(self._news.get(), PaintWarning, stacklevel=4)
