"""Records: a person, a job and its ending, as the store returns them, and the store's errors."""

from dataclasses import dataclass
from typing import Any

from vqclip_nb.errors import RunError

OPEN_STATES = ("waiting", "painting")


class QueueFull(RunError):
    """No more jobs are accepted, from this person or from anybody; the message says which."""


class UnknownToken(RunError):
    """A token that belongs to nobody."""


class NoSuchJob(RunError):
    """A job that does not exist, or that belongs to another person."""


class StoreBroken(RunError):
    """The queue's file cannot be read or written."""


@dataclass(frozen=True)
class Person:
    """A person who may ask for pictures."""

    id: int
    name: str


@dataclass(frozen=True)
class Job:
    """A picture that a person asked for.

    state: waiting, painting, done, cancelled or failed. run: the name of its run folder. step: the last step that was
    reported. error: why it failed, in one line. joined and ended: times in seconds, as from `time.time`.
    """

    id: str
    person: int
    settings: dict[str, Any]
    state: str
    run: str
    step: int
    steps: int
    error: str
    joined: float
    ended: float | None

    @property
    def is_open(self) -> bool:
        """Whether the job is waiting or being painted."""
        return self.state in OPEN_STATES


@dataclass(frozen=True)
class Ending:
    """How the painting of a job ended: done, cancelled or failed; "stopped" if it will be resumed.

    error: why it failed, in one line.
    """

    state: str
    error: str = ""
