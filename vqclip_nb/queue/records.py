"""Records: a person, a job and how it ended, as the store gives them, and what it raises."""

from dataclasses import dataclass
from typing import Any

from vqclip_nb.errors import RunError

OPEN_STATES = ("waiting", "painting")


class QueueFull(RunError):
    """No more jobs are taken, of this person or of all. Says which."""


class UnknownToken(RunError):
    """A token that belongs to nobody."""


class NoSuchJob(RunError):
    """A job that is not there."""


class StoreBroken(RunError):
    """The file cannot be read or written."""


@dataclass(frozen=True)
class Person:
    """Somebody who may ask for pictures."""

    id: int
    name: str


@dataclass(frozen=True)
class Job:
    """A picture that somebody asked for.

    state: waiting, painting, done, cancelled or failed. run: the name of its run folder. step: how far it is. error:
    why it failed, in one line. joined and ended: times as `time.time` gives them.
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
        """Whether it waits or is painted."""
        return self.state in OPEN_STATES


@dataclass(frozen=True)
class Ending:
    """How the painting of a job ended: done, cancelled or failed; "stopped" when it is to go on later.

    error: why it failed, in one line.
    """

    state: str
    error: str = ""
