"""Ray: started on this machine, or joined as a cluster, with a worker for each GPU or CPU."""

import os
import socket
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vqclip_nb.errors import RunError
from vqclip_nb.freed_memory import keep_freed
from vqclip_nb.models import shared
from vqclip_nb.runs.background_writer import check_unlocked

CONNECT_TIMEOUT = 10  # seconds
TRIES = 2  # attempts to start Ray
ORPHAN_TIMEOUT = 90  # seconds in which a worker ends after its Ray is gone
REMEDY = "`ray start --head` starts one, and --ray without an address needs none"


class RayWorker:
    """The base class of actors that paint. An actor loads each model once, for all its pictures."""

    def __init__(self) -> None:
        keep_freed()
        self.stopping = False
        self._models = shared.keep_loaded()
        self._models.__enter__()

    def ready(self, token: str) -> bool:
        """Whether this worker sees the file `token`, so that it shares the driver's disk."""
        return Path(token).is_file()

    def wait_for(self, folder: Path) -> None:
        """Wait until no other worker holds a run's folder, for at most ORPHAN_TIMEOUT seconds."""
        start = time.monotonic()
        while time.monotonic() - start < ORPHAN_TIMEOUT and not self.stopping:
            try:
                check_unlocked(folder)
                return
            except RunError:
                time.sleep(1)

    def stop(self) -> None:
        """End the current picture after this step."""
        self.stopping = True


def check(address: str | None, workers: int | None) -> None:
    """Raise ImportError without the extra `ray`, and RunError for a bad number of workers or an address without Ray.

    address: "host:port", "auto" for the cluster that runs on this machine, or None.
    """
    if find_spec("ray") is None:
        raise ImportError('Ray is another package: `pip install "vqclip_nb[ray]"`')
    if workers is not None and workers < 1:
        raise RunError(f"workers must be 1 or more, got {workers}")
    if address in (None, "auto"):
        return
    host, _, port = str(address).rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise RunError(f"address must be host:port or auto, got {address!r}")
    if not is_listening(str(address)):
        raise RunError(f"no Ray answers at {address!r}; {REMEDY}")


def connect(address: str | None, workers: int | None, *, show_output: bool = False, tries: int = TRIES) -> None:
    """Start Ray on this machine, or join the cluster at an address. Raises RunError.

    show_output: whether to print the workers' output here too. tries: the number of attempts to start Ray; the
    processes of a failed attempt end with this process.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": show_output, "logging_level": "ERROR"}
    if address is None:
        _start(workers, tries, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except (Exception, SystemExit) as error:  # Ray exits if another program answers at the address
        if "AuthenticationError" in "".join(traceback.format_exception(error)):
            token = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it"
            raise RunError(f"the Ray at {address!r} wants its token; {token}") from None
        raise RunError(f"no Ray answers at {address!r}; {REMEDY}") from None


def actor_class(painter: type, workers: int | None) -> tuple[int, Any]:
    """The number of workers, and the class of their actors, which answer calls while they paint.

    The number is that of the cluster's GPUs, or without a GPU of its CPUs, and at most `workers`.
    """
    import ray

    gpus, cpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
    needs = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
    return min(workers or gpus or cpus, gpus or cpus) or 1, ray.remote(painter).options(max_concurrency=2, **needs)


def is_listening(address: str) -> bool:
    """Whether a program accepts connections at `address`, "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
    except (OSError, OverflowError):
        return False
    return True


def _start(workers: int | None, tries: int, **quiet: Any) -> None:
    """Start Ray on this machine. Raises RunError."""
    import ray

    for attempt in range(tries):
        try:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
            return
        except Exception as error:  # for example if a busy machine needs more than half a minute
            ray.shutdown()
            if attempt + 1 == tries:
                reason = str(error).strip().partition("\n")[0]
                raise RunError(f"Ray could not be started on this machine: {reason}") from None
