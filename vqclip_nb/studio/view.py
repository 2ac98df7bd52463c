"""The view: the picture while it is painted, its progress, and a slider over the saved frames."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from vqclip_nb.runs.reader import RunInfo, frames
from vqclip_nb.studio import markup
from vqclip_nb.studio.chart import chart
from vqclip_nb.studio.frame_strip import FrameStrip
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.status import JobStatus
from vqclip_nb.studio.text import clock, shorten
from vqclip_nb.studio.widget_help import explain

EMPTY = "Your picture will grow here. Write a prompt and press Start."
REGULARIZERS = ("smoothness", "likeness")  # losses that do not come from a prompt
ZOOMS = ("Fit", "1:1", "2:1")


class View:
    """Shows a job's status, an earlier run, or a picture from a file. `box` is the widget.

    selected: called when another of several pictures was selected. go_on_from(step): starts a branch from that frame.
    """

    def __init__(self, selected: Callable[[], object], go_on_from: Callable[[int], object]) -> None:
        self._on_select = selected
        self._status = JobStatus()
        self._pictures: tuple[bytes, ...] = ()
        self._full: list[Path] = []  # the same pictures as files, at full size
        self.selected = 0
        self._frames: list[Path] = []
        self._gathering = False
        self.caption = widgets.HTML(markup.caption("No picture yet"))
        self.zoom = widgets.ToggleButtons(options=ZOOMS, description="Zoom")
        self.zoom.tooltips = ["As large as there is room", "One pixel to one", "Each pixel twice as large"]
        for name in ("vq-zoom", "vq-unlabelled"):
            self.zoom.add_class(name)
        self.zoom.observe(lambda _: self._zoomed(), "value")
        head = widgets.HBox([self.caption, self.zoom])
        head.add_class("vq-head")
        self.empty = widgets.HTML(markup.empty(EMPTY))
        self.picture = widgets.Image(format="jpeg", layout={"display": "none"})
        self.picture.add_class("vq-picture")
        self.stage = widgets.HBox([self.empty, self.picture])
        self.stage.add_class("vq-stage")
        self.bar = widgets.IntProgress(value=0, min=0, max=1)
        self.bar.add_class("vq-bar")
        self.status = widgets.HTML(markup.status("Ready"))
        self.status.add_class("vq-said")
        self.thumbs = widgets.HBox([])
        self.thumbs.add_class("vq-thumbs")
        self.chart = widgets.HTML()
        self.back = widgets.IntSlider(description="Look back", min=0, max=0, readout=False)
        explain(self.back, "The frames that were kept, from the first to the last")
        self.back.add_class("vq-back")
        self.at = widgets.HTML()
        self.again = widgets.Button(description="Go on from here", icon="code-fork")
        self.again.tooltip = "Begin a new run from this frame, with the settings in the form"
        for name in ("vq-branch", "vq-plain"):
            self.again.add_class(name)
        self.looking = widgets.HBox([self.back, self.at, self.again], layout={"display": "none"})
        self.looking.add_class("vq-below")
        self.looking.layout.align_items = "center"
        self.back.observe(lambda _: self._look(), "value")
        self.again.on_click(lambda _: go_on_from(self.step_looked_at) if self._frames else None)
        self.strip = FrameStrip()  # placed beside the settings of films
        self.box = widgets.VBox([head, self.stage, self.bar, self.status, self.thumbs])

    @property
    def step_looked_at(self) -> int:
        """The step of the frame that the slider shows."""
        return int(self._frames[min(self.back.value, len(self._frames) - 1)].stem)

    @property
    def count(self) -> int:
        """The number of pictures to select from."""
        return len(self._pictures)

    @property
    def shown(self) -> bytes | None:
        """The bytes of the picture that is shown, at the largest saved size, or None."""
        files = self._frames[self.back.value :][:1] if self.looking_back else self._full[self.selected :][:1]
        data = files[0].read_bytes() if files and files[0].exists() else None
        return data or (self._pictures[self.selected] if self._pictures else None)

    def show(self, status: JobStatus) -> None:
        """Update everything from a job's status."""
        before, self._status = self._status, status
        if status.previews and status.previews is not before.previews:
            self._show_pictures(status.previews)
        self.bar.max, self.bar.value = max(status.steps, 1), status.step
        self.bar.bar_style = {"failed": "danger", "done": "success"}.get(status.state, "")
        self.status.value = markup.status(status_line(status))
        if status.settings and (status.settings != before.settings or status.folder != before.folder):
            self._caption("This run", status.settings.prompt)
        if status.losses is not before.losses:
            self.chart.value = chart({n: points for n, points in status.losses.items() if n not in REGULARIZERS})
        if status.ended and not status.previews:
            verb = "failed" if status.state == "failed" else "was stopped"
            self._nothing(f"This run {verb} before its first picture.")
        self.strip.show(status.folder, status.settings)
        calm = status.ended or status.state == "paused"
        back = calm and status.step < before.step
        if status.folder and (back or status.state != before.state or status.folder != before.folder):
            self._gather(status.folder if calm else None)
            self._full = results(status.folder) if status.ended else []
            self._zoomed()

    def show_run(self, run: RunInfo) -> None:
        """Show an earlier run: its pictures, and its frames in the slider."""
        self.forget()
        self._caption("An earlier run", run.current.prompt, run.folder.name)
        self.status.value = markup.status(
            f"An earlier run, {max(run.saved_steps, default=0)} of {run.current.steps} steps"
        )
        self.bar.value = 0
        self._gather(run.folder)
        self.strip.show(run.folder, run.current)
        self._full = results(run.folder)
        if files := self._full or self._frames[-1:]:
            self._show_pictures(tuple(path.read_bytes() for path in files))
            self._zoomed()
        else:
            self._nothing("This run has kept no picture.")

    def show_file(self, data: bytes, prompt: str) -> None:
        """Show a picture from a file, which belongs to no run."""
        self.forget()
        self._caption("A picture from a file", prompt)
        self.status.value = markup.status("Its settings are in the form; Start paints it again")
        self.bar.value = 0
        self._show_pictures((data,))

    def begin(self) -> None:
        """Start a new run: the last picture is faded until the first preview."""
        self.forget()
        self.picture.add_class("vq-stale")
        self.empty.value = markup.empty("The first picture comes after the first step.")
        self.caption.value = markup.caption("A new run begins")

    def forget(self) -> None:
        """Remove the run and its frames."""
        self._status, self.selected, self._full, self._pictures = JobStatus(), 0, [], ()
        self.thumbs.children = []
        self._gather(None)
        self.strip.show(None, None)
        self.chart.value = ""

    def show_nothing(self) -> None:
        """Show the empty view."""
        self.forget()
        self._nothing(EMPTY)
        self.caption.value, self.status.value = markup.caption("No picture yet"), markup.status("Ready")
        self.bar.value = 0

    def select(self, index: int) -> None:
        """Show one of several pictures large."""
        if index < len(self._pictures):
            self.selected = index
            self._big(self._pictures[index])
            self._zoomed()
            for number, thumb in enumerate(self.thumbs.children):
                (thumb.add_class if number == index else thumb.remove_class)("vq-on")
            self._on_select()

    def _caption(self, kind: str, prompt: str, about: str = "") -> None:
        self.caption.value = markup.caption(f"{kind}: {shorten(prompt, 80)}", about)

    def _show_pictures(self, pictures: tuple[bytes, ...]) -> None:
        changed, self._pictures = len(pictures) != len(self._pictures), pictures
        if self.selected >= len(pictures):
            self.selected = 0
        self._big(pictures[self.selected])
        if changed:
            self.thumbs.children = [self._thumb(index) for index in range(len(pictures) if len(pictures) > 1 else 0)]
            keep_heard(self.thumbs)
            self._on_select()
        for thumb, data in zip(self.thumbs.children, pictures, strict=False):
            thumb.children[0].value = data

    def _big(self, data: bytes) -> None:
        self.picture.value = data
        self.picture.remove_class("vq-stale")
        self.picture.layout.display, self.empty.layout.display = "", "none"

    def _nothing(self, text: str) -> None:
        self.empty.value = markup.empty(text)
        self.picture.layout.display, self.empty.layout.display = "none", ""

    def _thumb(self, index: int) -> Any:
        picture = widgets.Image(format="jpeg")
        press = widgets.Button(description=f"Picture {index + 1}", tooltip=f"Show picture {index + 1} large")
        press.on_click(lambda _: self.select(index))
        thumb = widgets.Box([picture, press])
        thumb.add_class("vq-thumb")
        if index == self.selected:
            thumb.add_class("vq-on")
        return thumb

    def _zoomed(self) -> None:
        """Set the picture's displayed size; one pixel to one uses the file if it is larger than the preview."""
        zoom = self.zoom.value
        (self.stage.add_class if zoom != "Fit" else self.stage.remove_class)("vq-zoomed")
        (self.stage.add_class if zoom == "2:1" else self.stage.remove_class)("vq-twice")
        if self.picture.layout.display != "none" and not self.looking_back:
            full = self._full[self.selected] if self.selected < len(self._full) else None
            if zoom != "Fit" and full and full.exists():
                self.picture.value = _as_jpeg(full)
            elif self.selected < len(self._pictures):
                self.picture.value = self._pictures[self.selected]

    @property
    def looking_back(self) -> bool:
        """Whether an earlier frame is shown."""
        return bool(self._frames) and self.back.value < len(self._frames) - 1

    def _gather(self, folder: Path | None) -> None:
        """Read the saved frames of a run; none while it is still painting."""
        self._frames = frames(folder) if folder else []
        self.looking.layout.display = "" if len(self._frames) > 1 else "none"
        if self._frames:
            self._gathering = True  # code moves the slider, not a person
            self.back.max = len(self._frames) - 1
            self.back.value = len(self._frames) - 1
            self._gathering = False
            self.at.value = markup.small(f"step {int(self._frames[-1].stem)}")

    def _look(self) -> None:
        if self._frames and not self._gathering:
            path = self._frames[min(self.back.value, len(self._frames) - 1)]
            if path.exists():
                self._big(path.read_bytes())
                self.at.value = markup.small(f"step {int(path.stem)}")


def results(folder: Path) -> list[Path]:
    """The paths of a finished run's pictures, one for each variation."""
    single = sorted(folder.glob("result-*.png"), key=lambda path: (len(path.name), path.name))
    return single or [path for path in [folder / "result.png"] if path.exists()]


def _as_jpeg(path: Path) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    with Image.open(path) as pil:
        pil.convert("RGB").save(file, "JPEG", quality=92)
    return file.getvalue()


def status_line(status: JobStatus) -> str:
    """The line below the bar."""
    parts = [status.message]
    if status.step and status.state in ("painting", "paused"):
        parts[0] = f"{status.message}: step {status.step} of {status.steps}"
    if status.state == "painting" and status.speed:
        parts.append(f"{status.speed:.1f} steps/s" if status.speed >= 1 else f"{1 / status.speed:.1f} s/step")
        parts.append(f"{clock(status.seconds_left or 0)} left")
    if status.memory and status.state == "painting":
        parts.append(f"GPU memory {status.memory[0] / 1e9:.1f} of {status.memory[1] / 1e9:.0f} GB")
    return " · ".join(parts)
