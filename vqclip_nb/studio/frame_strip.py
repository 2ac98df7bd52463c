"""The frames of a film that are painted so far: a strip of thumbnails, and each of them under a slider."""

import io
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from PIL import Image

from vqclip_nb.film_fields import DEFAULT_FPS
from vqclip_nb.images import BROKEN
from vqclip_nb.runs.layout import frames
from vqclip_nb.settings import Settings
from vqclip_nb.studio import markup
from vqclip_nb.studio.previews import jpeg
from vqclip_nb.studio.widget_help import explain

_THUMBS, _HIGH, _SIDE = 8, 46, 368  # thumbnails at most, pixels of their height, and of the large picture's longer side


class FrameStrip:
    """Follows the kept frames of a film while it is painted, and after. `box` is the whole of it."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._thumbs: dict[Path, Image.Image] = {}
        self._settings: Settings | None = None
        self._quiet = False
        self.strip = widgets.Image(format="jpeg")
        self.strip.add_class("vq-strip-of-frames")
        self.slider = widgets.IntSlider(description="Frame", min=1, max=1, readout=False)
        explain(self.slider, "Look at each frame of the film that is painted so far")
        self.slider.add_class("vq-frame")
        self.about = widgets.HTML()
        self.picture = widgets.Image(format="jpeg")
        self.picture.add_class("vq-framed")
        self.slider.observe(lambda _: self._moved(), "value")
        below = widgets.HBox([self.slider, self.about])
        below.add_class("vq-below")
        self.box = widgets.VBox([self.strip, below, self.picture], layout={"display": "none"})
        self.box.add_class("vq-frames")

    def show(self, folder: Path | None, settings: Settings | None) -> None:
        """Show the frames in a run's folder; nothing where there is none, or it is no film's."""
        paths = frames(folder) if folder and settings and settings.frame_steps else []
        if paths == self._paths:
            return
        follows = self.slider.value >= len(self._paths)  # the newest frame is looked at, and so will be the next
        self._paths, self._settings = paths, settings
        self.box.layout.display = "" if paths else "none"
        if not paths:
            self._thumbs = {}
            return
        self._quiet = True
        self.slider.max = len(paths)
        if follows or self.slider.value > len(paths):
            self.slider.value = len(paths)
        self._quiet = False
        self._draw()
        self._look()

    def _moved(self) -> None:
        if not self._quiet:
            self._look()

    def _draw(self) -> None:
        """Thumbnails at even distances, from the first frame to the last."""
        count = min(_THUMBS, len(self._paths))
        chosen = [self._paths[round(index * (len(self._paths) - 1) / max(count - 1, 1))] for index in range(count)]
        self._thumbs = {path: self._thumbs.get(path) or _thumb(path) for path in chosen}
        thumbs = list(self._thumbs.values())
        sheet = Image.new("RGB", (sum(thumb.width + 2 for thumb in thumbs) - 2, _HIGH), "gray")
        left = 0
        for thumb in thumbs:
            sheet.paste(thumb, (left, 0))
            left += thumb.width + 2
        self.strip.value = jpeg(sheet, max(sheet.size))

    def _look(self) -> None:
        """Show the frame that the slider is at."""
        number = min(self.slider.value, len(self._paths))
        seconds = (number - 1) / ((self._settings and self._settings.fps) or DEFAULT_FPS)
        self.about.value = markup.small(f"{number} of {len(self._paths)}, at {seconds:.1f} s")
        if (picture := _read(self._paths[number - 1])) is not None:
            self.picture.value = jpeg(picture, _SIDE)


def _thumb(path: Path) -> Image.Image:
    picture = _read(path) or Image.new("RGB", (_HIGH, _HIGH), "gray")
    return picture.resize((max(1, round(picture.width * _HIGH / picture.height)), _HIGH))


def _read(path: Path) -> Any:
    """A kept frame, or None where it cannot be read: it may be on its way to the disk, or gone."""
    try:
        return Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    except BROKEN:
        return None
