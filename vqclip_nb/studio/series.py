"""A series: several pictures of a sweep, painted one after another by jobs, with the models loaded once."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vqclip_nb.models import shared
from vqclip_nb.studio import opening
from vqclip_nb.sweeps import Item, Result
from vqclip_nb.sweeps.items import varied_settings
from vqclip_nb.sweeps.results import complete

if TYPE_CHECKING:
    from vqclip_nb.studio.job import Job


class SweepState:
    """The state of a sweep's pictures. Independent of widgets.

    states: of each item, in order: waiting, painting, painted, there (from an earlier run), stopped or failed.
    errors: the reasons of failed items, by index. sheet: the path of the contact sheet once it is written. ended:
    whether the sweep is over.
    """

    def __init__(self, items: Sequence[Item], out: Path, title: str) -> None:
        self.items, self.out, self.title = list(items), out, title
        self.states = ["waiting"] * len(items)
        self.errors: dict[int, str] = {}
        self.sheet: Path | None = None
        self.ended = False

    def folder(self, index: int) -> Path:
        """The run folder of an item, which may not exist yet."""
        return self.out / self.items[index].name

    @property
    def axes(self) -> tuple[str, str] | None:
        """The settings of the rows and of the columns if the items are a full grid, or None."""
        from vqclip_nb.sweeps.report import grid_axes

        down, across = varied_settings(self.items) if grid_axes(self.items) else ("", "")
        return (down, across) if down else None

    @property
    def results(self) -> list[Result]:
        """The results of the items so far."""
        return [
            Result(item, self.folder(index), self.states[index], self.errors.get(index, ""))
            for index, item in enumerate(self.items)
        ]

    @property
    def painted(self) -> int:
        """The number of finished pictures."""
        return sum(state in ("painted", "there") for state in self.states)


class Series(SweepState):
    """Paints items in a thread, each in the folder of its name.

    begin(open): starts a job and returns it. changed(): called when an item starts or ends, and at the end.
    """

    def __init__(
        self,
        items: Sequence[Item],
        out: Path,
        *,
        title: str,
        begin: "Callable[[opening.Opener], Job]",
        changed: Callable[[], object],
    ) -> None:
        super().__init__(items, out, title)
        self._begin, self._changed = begin, changed
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="vqclip-series", daemon=True)

    def start(self) -> "Series":
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Start no other item. This does not stop the running job."""
        self._stopping = True

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end. Returns whether the series has ended."""
        self._thread.join(seconds)
        return self.ended

    def _work(self) -> None:
        try:
            with shared.keep_loaded():
                for index, item in enumerate(self.items):
                    if self._stopping:
                        break
                    self._put(index, "there" if complete(self.folder(index)) else "painting")
                    if self.states[index] == "painting":
                        self._paint(index, item)
        finally:
            self.ended = True
            self._changed()

    def _paint(self, index: int, item: Item) -> None:
        try:
            job = self._begin(opening.item(item.settings, self.folder(index)))
        except Exception as error:  # for example if a newer panel has taken over and was closed
            self.errors[index], self._stopping = str(error), True
            self._put(index, "failed")
            return
        job.wait()
        state = {"done": "painted", "stopped": "stopped"}.get(job.status.state, "failed")
        if state == "failed":
            shared.forget()
            self.errors[index] = job.status.problem.message if job.status.problem else job.status.message
        self._stopping |= state == "stopped"
        self._put(index, state)

    def _put(self, index: int, state: str) -> None:
        self.states[index] = state
        self._changed()
