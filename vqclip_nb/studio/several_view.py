"""The widgets of the tab for several pictures: a list of prompts or a grid of two settings, and their pictures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from vqclip_nb.errors import PictureError
from vqclip_nb.studio import markup
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.image_inputs import thumbnail
from vqclip_nb.studio.text import shorten, title
from vqclip_nb.studio.widget_help import explain

if TYPE_CHECKING:
    from vqclip_nb.studio.series import SweepState

SIDE = 92  # pixels of a cell


class Axis:
    """A setting, and the values that it takes along rows or columns."""

    def __init__(self, title: str, kind: str) -> None:
        self.setting = widgets.Dropdown(options=[("nothing", "")], description=title)
        self.values = widgets.Text(description="Values", placeholder="0.05, 0.1, 0.2", continuous_update=False)
        explain(self.setting, f"The setting that differs from one {kind} to the next")
        explain(self.values, "Its values, with commas between; semicolons, where a value has commas")
        for widget in (self.setting, self.values):
            widget.add_class("vq-unlabelled")
        label = widgets.HTML(markup.label(title, f"The setting that differs from one {kind} to the next"))
        label.add_class("vq-label")
        self.box = widgets.HBox([label, self.setting, self.values])
        for name in ("vq-field", "vq-axis"):
            self.box.add_class(name)

    @property
    def chosen(self) -> tuple[str, list[str]]:
        """The name of the setting, and its values as typed."""
        text = self.values.value
        parts = text.split(";" if ";" in text else ",")
        return self.setting.value, [part.strip() for part in parts if part.strip()]


class SeveralView:
    """The tab. `box` is its widget, `results` that of the painted pictures.

    opened: called with an item's index when a person clicks its cell.
    """

    def __init__(self, opened: Callable[[int], object]) -> None:
        self._opened = opened
        self._cells: dict[int, tuple[Any, tuple[str, float]]] = {}
        self._series: SweepState | None = None
        self.lines = widgets.Textarea(
            rows=6, description="Prompts", placeholder="One prompt a line", continuous_update=False
        )
        self.lines.add_class("vq-lines")
        self.lines.add_class("vq-unlabelled")
        explain(self.lines, "One prompt a line; everything else is as the form says")
        self.paint_list = _button("Paint the list", "Paint these prompts one after another; Stop ends it at any time")
        self.write_more = _button("Write more like these", "Add prompts that a language model, or a grammar, writes")
        self.rows, self.columns = Axis("Rows", "row"), Axis("Columns", "column")
        self.paint_grid = _button("Paint the grid", "Paint a picture for each of these values with each of those")
        row = widgets.HBox([self.paint_list, self.write_more])
        row.add_class("vq-row-of")
        grid_row = widgets.HBox([self.paint_grid])
        grid_row.add_class("vq-row-of")
        self.box = widgets.VBox(
            [
                widgets.HTML(markup.heading("A list of prompts")), self.lines, row,
                widgets.HTML(markup.heading("Compare")), self.rows.box, self.columns.box, grid_row,
            ]
        )  # fmt: skip
        self.said, self.sheet = widgets.HTML(), widgets.HTML()
        self.grid = widgets.GridBox([])
        self.grid.add_class("vq-cells")
        self.go_on = _button("Go on with this one", "Paint on from the end of the chosen picture, as a new run")
        self.use = _button("Use its settings", "Put the settings of the chosen picture into the form")
        actions = widgets.HBox([self.go_on, self.use, self.sheet])
        actions.add_class("vq-row-of")
        self.results = widgets.VBox([self.said, self.grid, actions], layout={"display": "none"})
        self.results.add_class("vq-history")
        self.results.add_class("vq-several")
        keep_heard(self.results)
        self.choose(None)

    def choose(self, index: int | None) -> None:
        """Mark a cell, and show its actions."""
        self.chosen = index
        for button in (self.go_on, self.use):
            button.layout.display = "none" if index is None else ""
        for number, (cell, _) in self._cells.items():
            (cell.add_class if number == index else cell.remove_class)("vq-on")

    def show(self, series: "SweepState") -> None:
        """Show the state of a series, and at its end a link to the contact sheet."""
        if series is not self._series:
            self._series, self._cells = series, {}
            self.choose(None)
        failed = series.states.count("failed")
        count = f"{series.painted} of {len(series.items)} painted" + (f", {failed} failed" if failed else "")
        if series.ended and "waiting" in series.states:
            count += "; stopped, and the same again goes on"
        self.said.value = markup.heading_inline(series.title, count)
        self.sheet.value = markup.link(series.sheet, "Contact sheet") if series.sheet else ""
        cells = [self._cell(index) for index in range(len(series.items))]
        head, order, columns = _table(series)
        placed = [each if isinstance(each, str) else cells[each] for each in order]
        self.grid.layout.grid_template_columns = columns
        children = [*map(_label, head), *(_label(each) if isinstance(each, str) else each for each in placed)]
        if len(children) != len(self.grid.children) or any(cell not in self.grid.children for cell in cells):
            self.grid.children = children
        self.results.layout.display = ""

    def _cell(self, index: int) -> Any:
        """The thumbnail of an item; made again if its picture or its state has changed."""
        assert self._series is not None
        series, path = self._series, self._series.folder(index) / "result.png"
        made = (series.states[index], path.stat().st_mtime if path.is_file() else 0.0)
        if index not in self._cells:
            label = series.items[index].label or series.items[index].settings.prompt
            press = widgets.Button(description=shorten(label, 40), tooltip=shorten(label, 200))
            press.on_click(lambda _: partial(self._opened, index)())
            cell = widgets.Box([widgets.HTML(), press])
            cell.add_class("vq-thumb")
            keep_heard(cell)
            self._cells[index] = cell, ("", 0.0)
        cell, before = self._cells[index]
        if made != before:
            cell.children = [_small(path, series.states[index]), cell.children[1]]
            self._cells[index] = cell, made
        return cell


def _table(series: "SweepState") -> tuple[list[str], list[int | str], str]:
    """The column headings, the cells row by row with each row's heading first, and the CSS grid columns."""
    if not (axes := series.axes):
        return [], [*range(len(series.items))], f"repeat(auto-fill, {SIDE + 6}px)"
    down, across = axes
    rows, columns = ([*dict.fromkeys(str(item.differs[name]) for item in series.items)] for name in axes)
    places = {(str(item.differs[down]), str(item.differs[across])): i for i, item in enumerate(series.items)}
    order: list[int | str] = []
    for row in rows:
        order += [_named(down, row), *(places[row, column] for column in columns)]
    return ["", *(_named(across, column) for column in columns)], order, f"130px repeat({len(columns)}, {SIDE + 6}px)"


def _named(setting: str, value: str) -> str:
    return value if setting == "prompt" else f"{title(setting)} {value}"


def _label(text: str) -> Any:
    return widgets.HTML(markup.small(shorten(text, 60)))


def _small(path: Path, state: str) -> Any:
    """A thumbnail, or the state of an item without a picture."""
    if path.is_file():
        try:
            return widgets.Image(value=thumbnail(path, 2 * SIDE), format="jpeg")
        except PictureError:
            pass
    return widgets.HTML(markup.placeholder(state))


def _button(text: str, tooltip: str) -> widgets.Button:
    button = widgets.Button(description=text, tooltip=tooltip)
    button.add_class("vq-" + text.lower().replace(" ", "-"))
    return button
