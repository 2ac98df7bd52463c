"""History: thumbnails of earlier runs with search, order and delete, and the run that was interrupted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from vqclip_nb.errors import PictureError, RunError
from vqclip_nb.runs.background_writer import check_unlocked
from vqclip_nb.runs.reader import RunInfo, frames, read_all
from vqclip_nb.studio import markup
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.image_inputs import thumbnail
from vqclip_nb.studio.text import shorten
from vqclip_nb.studio.view import results
from vqclip_nb.studio.widget_help import explain

PAGE = 12  # thumbnails at first, and for each click on `More`
ORDERS = {
    "Newest first": (lambda run: (run.begun, run.folder.name), True),
    "By prompt": (lambda run: run.current.prompt.lower(), False),
}


class History:
    """The runs on the disk as thumbnails. `box` is the widget.

    show(run), go_on(run): called to show a run, or to continue it. deleted(run): called after a run was deleted.
    compare(one, other): called to show two runs side by side. on_error: called with an exception.
    """

    def __init__(
        self,
        show: Callable[[RunInfo], object],
        go_on: Callable[[RunInfo], object],
        deleted: Callable[[RunInfo], object],
        compare: Callable[[RunInfo, RunInfo], object],
        on_error: Callable[[Exception], object],
    ) -> None:
        self._show, self._go_on, self._deleted, self._on_error = show, go_on, deleted, on_error
        self._compare, self._comparing = compare, False
        self.runs: list[RunInfo] = []
        self.run: RunInfo | None = None  # the selected run
        self._most, self._deletable = PAGE, Path()
        self._thumbs: dict[tuple[Path, float], Any] = {}
        self.count = widgets.HTML()
        self.search = widgets.Text(description="Search", placeholder="Search the prompts", continuous_update=True)
        self.order = widgets.Dropdown(options=list(ORDERS), description="Order")
        for control, name, text in (
            (self.search, "vq-search", "Show the runs whose prompt or folder has these words"),
            (self.order, "vq-order", "The order of the runs"),
        ):
            control.add_class(name)
            control.add_class("vq-unlabelled")
            explain(control, text)
            control.observe(lambda _: self._guarded(self._draw), "value")
        self.more = widgets.Button(description="More", tooltip="Show more runs")
        self.use = widgets.Button(description="Use settings", tooltip="Put the settings of this run into the form")
        self.go_on = widgets.Button(description="Continue", tooltip="Go on where this run stood", icon="play")
        self.compare = widgets.Button(description="Compare with …", tooltip="Then click another run: both side by side")
        self.delete = widgets.Button(description="Delete", tooltip="Delete this run's folder", icon="trash")
        self.sure = widgets.Button(
            description="Really delete it?", tooltip="There is no way back", button_style="danger"
        )
        self.keep = widgets.Button(description="Keep it", tooltip="Do not delete this run")
        self.more.on_click(lambda _: self._guarded(self._grow))
        self.go_on.on_click(lambda _: self.run and self._go_on(self.run))
        self.compare.on_click(lambda _: self._ask_which(True))
        self.delete.on_click(lambda _: self._ask(True))
        self.keep.on_click(lambda _: self._ask(False))
        self.sure.on_click(lambda _: self._guarded(self._remove))
        self.actions = widgets.HBox([self.use, self.go_on, self.compare, self.delete, self.sure, self.keep])
        self.thumbs = widgets.HBox([])
        self.thumbs.add_class("vq-thumbs")
        self.top = widgets.HBox([self.count, self.search, self.order])
        self.top.add_class("vq-row-of")
        self.actions.add_class("vq-row-of")
        self.wrong, self.none_found = widgets.HTML(), widgets.HTML()
        self.box = widgets.VBox([self.top, self.thumbs, self.none_found, self.actions, self.wrong])
        self.box.add_class("vq-history")
        keep_heard(self.box)
        self.choose(None)

    def read(self, out: Path, *others: Path) -> list[RunInfo]:
        """Read the runs again, with those that are only in `others`. Returns all, newest first."""
        by_name: dict[str, RunInfo] = {}
        problems: list[str] = []
        for parent in (*others, out):
            runs, troubles = read_all(parent)
            by_name |= {run.folder.name: run for run in runs}
            problems += troubles
        self.runs = sorted(by_name.values(), key=lambda run: (run.begun, run.folder.name), reverse=True)
        self._deletable = out
        count = f"{len(self.runs)} run{'s' if len(self.runs) > 1 else ''}" if self.runs else "No runs yet"
        self.count.value = markup.heading_inline("History", f"{count} in {markup.relative_path(out)}")
        self.wrong.value = "".join(markup.small(line) for line in problems[:3])
        if self.run and self.run.folder.name not in by_name:
            self.choose(None)
        self._draw()
        return self.runs

    def choose(self, run: RunInfo | None) -> None:
        """Mark a run, and show its actions."""
        self.run = run
        self._ask_which(False)
        for name, button in (
            ("use", self.use), ("compare", self.compare), ("go_on", self.go_on), ("delete", self.delete)
        ):  # fmt: skip
            is_visible = run is not None and (
                name in ("use", "compare")
                or (name == "go_on" and steps_left(run) > 0)
                or (name == "delete" and self._ours(run))
            )
            button.layout.display = "" if is_visible else "none"
        self.sure.layout.display = self.keep.layout.display = "none"
        for thumb in self.thumbs.children:
            chosen = run is not None and getattr(thumb, "run_name", "") == run.folder.name
            (thumb.add_class if chosen else thumb.remove_class)("vq-on")

    def _draw(self) -> None:
        words = self.search.value.lower().split()
        key, reverse = ORDERS[self.order.value]
        runs = sorted(
            (run for run in self.runs if all(w in f"{run.current.prompt} {run.folder.name}".lower() for w in words)),
            key=key, reverse=reverse,
        )  # fmt: skip
        thumbs = [self._thumb(run) for run in runs[: self._most]]
        self.none_found.value = markup.small("No run has these words.") if self.runs and not runs else ""
        visible_ids = {id(thumb) for thumb in thumbs}
        for key_, thumb in list(self._thumbs.items()):
            if id(thumb) not in visible_ids:
                del self._thumbs[key_]
                for part in (*thumb.children, thumb):
                    part.close()
        self.thumbs.children = [*thumbs, *([self.more] if len(runs) > self._most else [])]
        self.search.layout.display = self.order.layout.display = "" if len(self.runs) > 3 else "none"
        self.choose(self.run)

    def _thumb(self, run: RunInfo) -> Any:
        picture = next(iter([*results(run.folder)[:1], *frames(run.folder)[-1:]]), None)
        mtime = picture.stat().st_mtime if picture else 0.0
        if (run.folder, mtime) not in self._thumbs:
            tip = f"{shorten(run.current.prompt, 200)}\n{run.folder.name}"
            press = widgets.Button(description=shorten(run.current.prompt, 40), tooltip=tip)
            press.on_click(lambda _: self._pressed(run.folder.name))
            thumb = widgets.Box([_small(picture), press])
            thumb.run_name = run.folder.name
            thumb.add_class("vq-thumb")
            keep_heard(thumb)
            self._thumbs[run.folder, mtime] = thumb
        return self._thumbs[run.folder, mtime]

    def _pressed(self, name: str) -> None:
        if run := next((run for run in self.runs if run.folder.name == name), None):
            if self._comparing and (one := self.run):
                self._ask_which(False)
                self._guarded(lambda: self._compare(one, run))
            else:
                self._show(run)

    def _ask_which(self, asked: bool) -> None:
        """Start or end waiting for a click on a second run to compare with."""
        self._comparing = asked
        self.compare.description = "Now click another run" if asked else "Compare with …"

    def _grow(self) -> None:
        self._most += PAGE
        self._draw()

    def _ask(self, sure: bool) -> None:
        self.sure.layout.display = self.keep.layout.display = "" if sure else "none"
        self.delete.layout.display = "none" if sure else ""

    def _ours(self, run: RunInfo) -> bool:
        return run.folder.parent.resolve() == self._deletable.resolve() and not run.folder.is_symlink()

    def _remove(self) -> None:
        """Delete the run's folder, unless it is being painted. Raises RunError."""
        if (run := self.run) is None or not self._ours(run):
            return
        check_unlocked(run.folder)
        try:
            shutil.rmtree(run.folder)
        except OSError as error:
            raise RunError(f"the run {run.folder.name!r} could not be deleted: {error.strerror or error}") from None
        self.choose(None)
        self._deleted(run)

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            self._on_error(error)


def steps_left(run: RunInfo) -> int:
    """The number of steps that a run still has to make; 0 if it is complete or has no state."""
    return max(run.current.steps - run.saved_steps[-1], 0) if run.saved_steps else 0


def interrupted_run(runs: list[RunInfo]) -> RunInfo | None:
    """The newest run if it was interrupted: it has steps left, and nobody stopped it."""
    newest = runs[0] if runs else None
    if newest is None or not steps_left(newest):
        return None
    result = newest.folder / "result.png"
    state = newest.folder / "state" / f"{newest.saved_steps[-1]:06}.safetensors"
    ended = (
        result.exists() and result.stat().st_mtime >= state.stat().st_mtime
    )  # a run that is stopped saves its state first
    return None if ended else newest


def _small(picture: Path | None) -> Any:
    """A thumbnail, or a placeholder."""
    try:
        if picture:
            return widgets.Image(value=thumbnail(picture, 184), format="jpeg")
    except PictureError:
        pass
    return widgets.HTML(markup.placeholder("no picture"))
