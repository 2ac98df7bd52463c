"""The server's workers: one process for each device, restarted when it dies."""

import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vqclip_nb.errors import RunError
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.store import Store

PROGRAM = (sys.executable, "-m", "vqclip_nb.queue.worker")
RAY_PROGRAM = (sys.executable, "-m", "vqclip_nb.queue.on_ray")  # one worker process with many actors
PAUSE = 1.0  # seconds before a dead worker is restarted; doubled with each death in a row
LONG = 60  # seconds after which a worker counts as healthy
PATIENCE = 90  # seconds for a worker to end its step
CLEAN_INTERVAL = 3600  # seconds


class FolderInUse(RunError):
    """Another server uses the queue's folder."""


class Workers:
    """Worker processes for these devices, as a context manager: they run until the block ends.

    Raises FolderInUse if another server uses the folder.
    """

    def __init__(
        self, store: Store, limits: Limits, devices: Sequence[str] = ("auto",), *, program: Sequence[str] = ()
    ) -> None:
        self.store, self.limits, self.program = store, limits, program or PROGRAM
        self.devices = {f"worker-{number}": device for number, device in enumerate(devices, start=1)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._deaths: Counter[str] = Counter()
        self._started_at: dict[str, float] = {}
        self._end = threading.Event()
        self._watch = threading.Thread(target=self._keep_alive, name="vqclip-workers", daemon=True)

    def __enter__(self) -> "Workers":
        from filelock import FileLock, Timeout

        self._lock = FileLock(self.store.folder / "server.lock", thread_local=False)
        try:
            self._lock.acquire(timeout=0.2)
        except Timeout:
            message = (
                f"the queue in {str(self.store.folder)!r} is served already; stop that server, or take another --data"
            )
            raise FolderInUse(message) from None
        for path in self.store.folder.glob("worker-*.lock"):  # workers of a killed server end after their step
            with suppress(Timeout), FileLock(path, timeout=PATIENCE):
                pass
        self.store.release_jobs(list(self.devices))
        for name in self.devices:
            self._begin(name)
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._watch.join()
        for process in self._running.values():
            process.stdin.close()  # type: ignore[union-attr]
        for process in self._running.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._lock.release()

    def _begin(self, name: str) -> None:
        command = [*self.program, str(self.store.folder), name, self.devices[name]]
        self._started_at[name] = time.monotonic()
        self._running[name] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def _keep_alive(self) -> None:
        cleaned = 0.0
        while not self._end.wait(PAUSE):
            for name, process in self._running.items():
                lived = time.monotonic() - self._started_at[name]
                if process.poll() is None:
                    self._deaths[name] *= lived < LONG
                elif lived > PAUSE * 2 ** self._deaths[name]:
                    self._deaths[name] = min(self._deaths[name] + 1, 6)
                    self._begin(name)
            if time.monotonic() - cleaned > CLEAN_INTERVAL or not cleaned:
                cleaned = time.monotonic()
                with suppress(RunError, OSError):
                    clean(self.store, self.limits)


def clean(store: Store, limits: Limits) -> None:
    """Delete pictures older than `keep_days`, and uploads older than a day that no job uses."""
    oldest = time.time() - limits.keep_days * 86_400
    for job in store.ended_before(oldest):
        delete(store, job.run)
        store.forget(job.id)
    inputs_used = store.input_pictures()
    for path in store.uploads.iterdir():
        if path.stat().st_mtime < time.time() - 86_400 and f"sha256:{path.stem}" not in inputs_used:
            path.unlink(missing_ok=True)


def delete(store: Store, run: str) -> None:
    """Delete a job's run folder, if it exists."""
    shutil.rmtree(Path(store.runs, run), ignore_errors=True)
