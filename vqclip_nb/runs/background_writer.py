"""The background writer: puts files into a folder without delaying the painting, and holds what cannot be written."""

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

MOST_HELD = 512 * 2**20  # bytes; beyond it every second of the pictures held is let go


def claim(folder: Path) -> Any:
    """A folder's lock, taken. Raises RunError when another process has it; one that died has it no more.

    This process may claim a folder again, to take up a run that it let drop. A drive that knows no locks has none.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, thread_local=False, is_singleton=True)
    try:
        if kind(folder / LOCK) not in ("a file", None):
            (folder / LOCK).unlink()  # no lock of ours is a link; what it points to stays
        if folder.is_dir():  # a lock makes the folders above it, which would hide a drive that is gone
            lock.acquire(timeout=0.2)  # a moment, since `check_free` holds it for one
    except Timeout:
        said = f"the run {str(folder)!r} is being painted in another notebook or terminal; stop it there first"
        raise RunError(said) from None
    except (OSError, NotImplementedError):
        pass
    return lock


def check_free(folder: Path) -> None:
    """Raise RunError when another process writes in this folder."""
    if (folder / LOCK).exists():
        claim(folder).release()


class BackgroundWriter:
    """A thread that writes files in the order they came, each whole or not at all. Raises RunError as `claim` does.

    A full disk, or a folder that is gone, is said once: what could not be written is held in memory and tried again
    with whatever comes next. `founding` are the files without which the folder, were it made again, would say nothing.
    """

    def __init__(self, folder: Path, founding: Mapping[str, bytes]) -> None:
        self.folder, self.founding = folder.absolute(), dict(founding)  # wherever this process goes
        self._lock = claim(folder)
        self.held: dict[str, bytes | None] = {}  # by name within the folder, in the order they came; None deletes
        self._coming: queue.Queue[tuple[str, Callable[[], bytes] | None] | None] = queue.Queue(maxsize=8)
        self._failing = False
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="vqclip-writer", daemon=True)
        self._thread.start()

    def put(self, name: str, make: Callable[[], bytes]) -> None:
        """Keep what `make` gives under this name. Returns at once, unless eight are waiting already."""
        self._coming.put((name, make))
        self._say()

    def remove(self, name: str) -> None:
        """Delete the file of this name, in its turn."""
        self._coming.put((name, None))

    def has(self, name: str) -> bool:
        """Whether the file of this name is on the disk, or held until it can be."""
        return self.held.get(name) is not None or (self.folder / name).exists()

    def flush(self) -> bool:
        """Wait until everything that came was tried. Whether all of it is on the disk."""
        self._coming.join()
        self._say()
        return not self.held

    def close(self) -> bool:
        """As `flush`, end the thread, and give the folder free."""
        done = self.flush()
        self._coming.put(None)
        self._thread.join()
        with suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release(force=True)
        return done

    def move(self, folder: Path) -> None:
        """From now on write into another folder, first of all what is held."""
        self.folder = folder
        self._write_held()

    def _work(self) -> None:
        while (item := self._coming.get()) is not None:
            name, make = item
            self.held.pop(name, None)
            try:
                self.held[name] = make and make()
            except Exception as error:  # the painting is worth more than one file
                self._news.put(f"{name} could not be made: {error}")
            self._write_held()
            self._coming.task_done()

    def _write_held(self) -> None:
        """Write all that is held, oldest first, until one cannot be."""
        try:
            if not self.folder.is_dir():
                self.folder.mkdir()  # not its parents: under a drive that is gone they would hide it when it comes back
                self.held = {**self.founding, **self.held}
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
        """Let go of every second picture that is held, when there are too many."""
        if sum(len(data or b"") for data in self.held.values()) > MOST_HELD:
            for name in [name for name in self.held if name.startswith("frames/")][::2]:
                del self.held[name]

    def _say(self) -> None:
        while not self._news.empty():
            warnings.warn(self._news.get(), PaintWarning, stacklevel=4)
