"""The background writer: writes a run's files in a thread, and keeps files in memory that cannot be written."""

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

MAX_UNWRITTEN_BYTES = 512 * 2**20  # with more in memory, every second picture is dropped


def acquire_lock(folder: Path) -> Any:
    """Lock a run's folder, and return the lock. Raises RunError when another process holds it.

    The lock of a process that has ended is free. This process may lock a folder again, to resume a run that it
    abandoned. On drives without locks, nothing is locked.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, thread_local=False, is_singleton=True)
    try:
        if kind(folder / LOCK) not in ("a file", None):
            (folder / LOCK).unlink()  # a link, which is deleted without its target
        if folder.is_dir():  # FileLock creates parent folders, which would hide an unmounted drive
            lock.acquire(timeout=0.2)  # `check_unlocked` may hold it for a moment
    except Timeout:
        message = f"the run {str(folder)!r} is being painted in another notebook or terminal; stop it there first"
        raise RunError(message) from None
    except (OSError, NotImplementedError):
        pass
    return lock


def check_unlocked(folder: Path) -> None:
    """Raise RunError when another process writes into this folder."""
    if (folder / LOCK).exists():
        acquire_lock(folder).release()


class BackgroundWriter:
    """A thread that writes files in order, each atomically. Raises RunError like `acquire_lock`.

    If the disk is full or the folder is gone, it warns once, keeps the files in memory, and tries again with each new
    file. If the folder has to be created again, `first_files` (content by name) are written first.
    """

    def __init__(self, folder: Path, first_files: Mapping[str, bytes]) -> None:
        self.folder = folder.absolute()
        self.first_files = dict(first_files)
        self._lock = acquire_lock(folder)
        self.unwritten: dict[str, bytes | None] = {}  # content by name, oldest first; None deletes the file
        self._queue: queue.Queue[tuple[str, Callable[[], bytes] | None] | None] = queue.Queue(maxsize=8)
        self._failing = False
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="vqclip-writer", daemon=True)
        self._thread.start()

    def put(self, name: str, make: Callable[[], bytes]) -> None:
        """Write the result of `make` under this name. Returns at once, unless eight files are waiting."""
        self._queue.put((name, make))
        self._warn()

    def remove(self, name: str) -> None:
        """Delete the file of this name, after the files before it are written."""
        self._queue.put((name, None))

    def has(self, name: str) -> bool:
        """Whether the file of this name is on the disk, or in memory until it can be written."""
        return self.unwritten.get(name) is not None or (self.folder / name).exists()

    def flush(self) -> bool:
        """Wait until the writer has tried to write all files. Returns whether all are on the disk."""
        self._queue.join()
        self._warn()
        return not self.unwritten

    def close(self) -> bool:
        """Flush, end the thread and release the folder. Returns whether all files are on the disk."""
        complete = self.flush()
        self._queue.put(None)
        self._thread.join()
        with suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release(force=True)
        return complete

    def move(self, folder: Path) -> None:
        """Write into another folder from now on, beginning with the files in memory."""
        self.folder = folder
        self._write_files()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            name, make = item
            self.unwritten.pop(name, None)
            try:
                self.unwritten[name] = make and make()
            except Exception as error:  # one file must not end the painting
                self._messages.put(f"{name} could not be made: {error}")
            self._write_files()
            self._queue.task_done()

    def _write_files(self) -> None:
        """Write the files in memory, oldest first, until one fails."""
        try:
            if not self.folder.is_dir():
                self.folder.mkdir()  # not its parents: they would hide an unmounted drive
                self.unwritten = {**self.first_files, **self.unwritten}
            while self.unwritten:
                name, data = next(iter(self.unwritten.items()))
                path = self.folder / name
                path.parent.mkdir(exist_ok=True)
                if path.parent != self.folder:
                    need(path.parent, "a folder")
                if data is None:
                    path.unlink(missing_ok=True)
                else:
                    write(path, data, sync=path.suffix == ".safetensors")
                del self.unwritten[name]
        except OSError as error:
            if not self._failing:
                reason = error.strerror or str(error)
                self._messages.put(
                    f"the run's folder cannot be written to ({reason}); the painting goes on, and its "
                    f"files are kept in memory until they can be written: {self.folder}"
                )
            self._failing = True
            self._drop_pictures()
        else:
            if self._failing:
                self._messages.put(f"the run's folder can be written to again, and all files are saved: {self.folder}")
            self._failing = False

    def _drop_pictures(self) -> None:
        """Drop every second unwritten picture when the files take too much memory."""
        if sum(len(data or b"") for data in self.unwritten.values()) > MAX_UNWRITTEN_BYTES:
            for name in [name for name in self.unwritten if name.startswith("frames/")][::2]:
                del self.unwritten[name]

    def _warn(self) -> None:
        while not self._messages.empty():
            warnings.warn(self._messages.get(), PaintWarning, stacklevel=4)
