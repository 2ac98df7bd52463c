"""Two earlier runs side by side: their pictures under one slider, and the settings in which they differ."""

import base64

import ipywidgets as widgets

from vqclip_nb.errors import RunError
from vqclip_nb.fields import fields
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.studio import markup
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.image_inputs import thumbnail
from vqclip_nb.studio.text import setting_text
from vqclip_nb.studio.view import results

SIDE = 620  # pixels
RUN_OPTIONS = ("out", "quiet", "device", "metadata")


class Versus:
    """The comparison of two runs. `box` is its widget, hidden until two runs are shown."""

    def __init__(self) -> None:
        self.html = widgets.HTML()
        self.hide = widgets.Button(description="Hide", tooltip="Hide the comparison")
        self.hide.add_class("vq-plain")
        self.hide.on_click(lambda _: self._show(False))
        self.box = widgets.VBox([self.html, self.hide])
        self.box.add_class("vq-history")
        keep_heard(self.box)
        self._show(False)

    def show(self, left: RunInfo, right: RunInfo) -> None:
        """Put two runs side by side. Raises RunError, PictureError."""
        pictures = [_picture(run) for run in (left, right)]
        names = [run.folder.name for run in (left, right)]
        self.html.value = markup.versus(pictures, names, *differences(left, right))
        self._show(True)

    def _show(self, shown: bool) -> None:
        self.box.layout.display = "" if shown else "none"


def differences(left: RunInfo, right: RunInfo) -> tuple[list[tuple[str, ...]], int]:
    """The settings that differ, each as (title, left, right), and the number of equal ones. A missing value is "-"."""
    both = [run.current for run in (left, right)]
    known = [{field.name for field in fields(settings)} for settings in both]
    titles = {field.name: field.title for settings in both for field in fields(settings)}
    rows: list[tuple[str, ...]] = []
    same = 0
    for name, title in titles.items():
        if name in RUN_OPTIONS:
            continue
        values = [settings.value(name) if name in names else None for settings, names in zip(both, known, strict=True)]
        if values[0] == values[1]:
            same += 1
        else:
            rows.append((title, *("-" if value is None else setting_text(value) for value in values)))
    return rows, same


def _picture(run: RunInfo) -> str:
    """The first picture of a run as a data URL. Raises RunError, PictureError."""
    if not (paths := results(run.folder)):
        raise RunError(f"the run {run.folder.name!r} has no finished picture to compare")
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail(paths[0], SIDE)).decode()
