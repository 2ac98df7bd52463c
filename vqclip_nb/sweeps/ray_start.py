"""Ray: started on this machine or joined elsewhere, with a worker for each of its GPUs, or CPUs."""

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
from vqclip_nb.runs.background_writer import check_free

ANSWER = 10  # seconds that an address has to answer
TRIES = 2  # to start Ray
LEFT = 90  # seconds in which a worker ends whose Ray is gone
REMEDY = "`ray start --head` starts one, and --ray without an address needs none"


class RayWorker:
    """What an actor that paints begins with: the models are loaded once, for all that it paints."""

    def __init__(self) -> None:
        keep_freed()
        self.stopping = False
        self._models = shared.keep_loaded()
        self._models.__enter__()

    def ready(self, token: str) -> bool:
        """Whether this worker is on the machine, or shares the disk, where `token` is a file."""
        return Path(token).is_file()

    def wait_for(self, folder: Path) -> None:
        """Wait until no other worker is at a run's folder, for as long as one may take to end."""
        start = time.monotonic()
        while time.monotonic() - start < LEFT and not self.stopping:
            try:
                check_free(folder)
                return
            except RunError:
                time.sleep(1)

    def stop(self) -> None:
        """End what is being painted after this step."""
        self.stopping = True


def check(address: str | None, workers: int | None) -> None:
    """Raise ImportError without the extra, and RunError for workers that cannot be or an address without an answer.

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

    show_output: whether what its workers print comes out here too. tries: to start it. A start that failed leaves
    processes, which end with this one.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": show_output, "logging_level": "ERROR"}
    if address is None:
        _start(workers, tries, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except (Exception, SystemExit) as error:  # Ray exits where something else answers at the address
        if "AuthenticationError" in "".join(traceback.format_exception(error)):
            token = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it"
            raise RunError(f"the Ray at {address!r} wants its token; {token}") from None
        raise RunError(f"no Ray answers at {address!r}; {REMEDY}") from None


def actor_class(painter: type, workers: int | None) -> tuple[int, Any]:
    """How many workers there may be, and what makes one: an actor of this class, which hears calls while it paints.

    One for each GPU of the Ray that is connected, or where there is none each CPU; at most `workers`.
    """
    import ray

    gpus, cpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
    needs = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
    return min(workers or gpus or cpus, gpus or cpus) or 1, ray.remote(painter).options(max_concurrency=2, **needs)


def is_listening(address: str) -> bool:
    """Whether something answers at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
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
        except Exception as error:  # such as a machine too busy to start it within half a minute
            ray.shutdown()
            if attempt + 1 == tries:
                reason = str(error).strip().partition("\n")[0]
                raise RunError(f"Ray could not be started on this machine: {reason}") from None
