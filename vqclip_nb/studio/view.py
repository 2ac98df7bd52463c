"""View: the picture as it grows, its progress, and the way back through the frames that were kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from vqclip_nb.runs.reader import frames
from vqclip_nb.studio import markup
from vqclip_nb.studio.form import explain
from vqclip_nb.studio.jobs import JobStatus

EMPTY = "Your picture will grow here. Write a sentence and press Start."


class View:
    """What a job's news look like. `box` is the whole of it.

    pick(k): go on with the k-th variation alone, from 1. go_on_from(step): begin a branch from that frame.
    """

    def __init__(self, pick: Callable[[int], object], go_on_from: Callable[[int], object]) -> None:
        self._pick = pick
        self._enlarged: int | None = None
        self._news = JobStatus()
        self._files: list[Path] = []
        self._gathering = False
        self.empty = widgets.HTML(markup.empty(EMPTY))
        self.picture = widgets.Image(format="jpeg", layout={"display": "none", "width": "100%", "max_width": "512px"})
        self.picture.add_class("vq-picture")
        self.thumbs = widgets.HBox([])
        self.thumbs.add_class("vq-thumbs")
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout={"width": "100%", "max_width": "512px"})
        self.bar.add_class("vq-bar")
        self.status = widgets.HTML(markup.status("Ready"))
        self.status.add_class("vq-said")
        self.chart = widgets.HTML()
        self.back = widgets.IntSlider(description="Look back", min=0, max=0, readout=False, layout={"width": "98%"})
        explain(self.back, "The frames that were kept, from the first to the last")
        self.back.add_class("vq-back")
        self.at = widgets.HTML()
        self.again = widgets.Button(description="Go on from here", icon="code-fork", layout={"width": "150px"})
        self.again.tooltip = "Begin a new run from this frame, with the words and settings as they stand in the form"
        self.again.add_class("vq-branch")
        self.looking = widgets.VBox(
            [self.back, widgets.HBox([self.at, self.again], layout={"align_items": "center"})],
            layout={"display": "none"},
        )
        self.back.observe(lambda _: self._look(), "value")
        self.again.on_click(lambda _: go_on_from(self.step_looked_at) if self._files else None)
        self.box = widgets.VBox(
            [self.empty, self.picture, self.thumbs, self.bar, self.status, self.looking, self.chart]
        )

    @property
    def step_looked_at(self) -> int:
        """The step of the frame that the slider is at."""
        return int(self._files[min(self.back.value, len(self._files) - 1)].stem)

    def show(self, news: JobStatus) -> None:
        """Bring everything up to what is known now."""
        before, self._news = self._news, news
        if news.previews and news.previews is not before.previews:
            self._show_pictures(news)
        self.bar.max, self.bar.value = max(news.steps, 1), news.step
        self.bar.bar_style = {"failed": "danger", "done": "success"}.get(news.state, "")
        self.status.value = markup.status(told(news))
        if news.curve is not before.curve:
            words = {name: points for name, points in news.curve.items() if name not in ("smoothness", "likeness")}
            self.chart.value = markup.chart(words)
        calm = news.state in ("paused", "done", "stopped", "failed")
        back = calm and news.step < before.step
        if news.folder and (back or news.state != before.state or news.folder != before.folder):
            self._gather(news.folder if calm else None)

    def show_run(self, folder: Path) -> None:
        """The frames of an earlier run, to look back at; what was known of another is taken away."""
        self.forget()
        self.status.value = markup.status("An earlier run")
        self.bar.value = 0
        self._gather(folder)
        if self._files:
            self._look()

    def forget(self) -> None:
        """Be as at the beginning of a run."""
        self._enlarged, self._news = None, JobStatus()
        self.thumbs.children = []
        self._gather(None)
        self.chart.value = ""

    def _show_pictures(self, news: JobStatus) -> None:
        one = len(news.previews) == 1
        if one or (self._enlarged or 0) >= len(news.previews):
            self._enlarged = None
        self._big(news.previews[0 if self._enlarged is None else self._enlarged])
        if one:
            self.thumbs.children = []
            return
        if len(self.thumbs.children) != len(news.previews):
            self.thumbs.children = [self._thumb(index) for index in range(len(news.previews))]
        for card, data in zip(self.thumbs.children, news.previews, strict=True):
            card.children[0].value = data

    def _big(self, data: bytes) -> None:
        self.picture.value = data
        self.picture.layout.display, self.empty.layout.display = "", "none"

    def _thumb(self, index: int) -> Any:
        picture = widgets.Image(format="jpeg", layout={"width": "112px"})
        enlarge = widgets.Button(description=f"Enlarge {index + 1}", layout={"width": "112px"})
        alone = widgets.Button(description=f"Only {index + 1}", layout={"width": "112px"})
        alone.tooltip = f"Go on with picture {index + 1} alone"
        enlarge.on_click(lambda _: self._enlarge(index))
        alone.on_click(lambda _: self._pick(index + 1))
        return widgets.VBox([picture, enlarge, alone])

    def _enlarge(self, index: int) -> None:
        if index < len(self._news.previews):
            self._enlarged = index
            self._big(self._news.previews[index])

    def _gather(self, folder: Path | None) -> None:
        """The kept frames of a run, or none while they are still coming."""
        self._files = frames(folder) if folder else []
        self.looking.layout.display = "" if len(self._files) > 1 else "none"
        if self._files:
            self._gathering = True  # the slider moves, and nobody moved it
            self.back.max = len(self._files) - 1
            self.back.value = len(self._files) - 1
            self._gathering = False
            self.at.value = markup.small(f"step {int(self._files[-1].stem)}")

    def _look(self) -> None:
        if self._files and not self._gathering:
            path = self._files[min(self.back.value, len(self._files) - 1)]
            if path.exists():
                self._big(path.read_bytes())
                self.at.value = markup.small(f"step {int(path.stem)}")


def told(news: JobStatus) -> str:
    """The line below the bar."""
    parts = [news.said]
    if news.step and news.state in ("painting", "paused"):
        parts[0] = f"{news.said}: step {news.step} of {news.steps}"
    if news.state == "painting" and news.speed:
        parts.append(f"{news.speed:.1f} steps/s" if news.speed >= 1 else f"{1 / news.speed:.1f} s/step")
        parts.append(f"{_clock(news.seconds_left or 0)} left")
    if news.memory and news.state == "painting":
        parts.append(f"GPU memory {news.memory[0] / 1e9:.1f} of {news.memory[1] / 1e9:.0f} GB")
    return " · ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
