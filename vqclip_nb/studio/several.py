"""The actions of the tab for several pictures: paint a list of prompts or a grid as a series, and open its pictures."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.errors import RunError, SettingsError
from vqclip_nb.fields import fields
from vqclip_nb.runs.creation import slug
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.studio import opening
from vqclip_nb.studio.problems import in_titles, listening
from vqclip_nb.studio.registry import REGISTRY
from vqclip_nb.studio.series import Series
from vqclip_nb.sweeps import Item
from vqclip_nb.sweeps.items import check_distinct

if TYPE_CHECKING:
    from vqclip_nb.studio.controller import Controller
    from vqclip_nb.studio.job import Job

MOST = 400  # pictures of a series
MORE = 6  # prompts that a click writes
SHEETS = "contact-sheets"  # folder of contact sheets, inside that of the runs
KINDS = ("number", "whole number", "choice")


class Several:
    """The actions of the tab for several pictures of one panel."""

    def __init__(self, controller: "Controller") -> None:
        self._controller, self._view = controller, controller.ui.several
        names = [(field.title, field.name) for field in fields() if self._comparable(field)]
        for axis, name, values in (
            (self._view.rows, "lr", "0.05, 0.1, 0.2"),
            (self._view.columns, "seed", "0, 1, 2"),
        ):
            axis.setting.options = [("nothing", ""), *names]
            axis.setting.value, axis.values.value = name, values

    @staticmethod
    def _comparable(field: Any) -> bool:
        return not field.owner and field.group != "Run" and (field.kind in KINDS or field.name == "perceptor")

    def paint_list(self) -> None:
        """Paint the prompts of the list, each once. Raises SettingsError."""
        lines = dict.fromkeys(line.strip() for line in self._view.lines.value.splitlines())
        prompts = [line for line in lines if line]
        if not prompts:
            raise SettingsError("The list of prompts is empty: write one prompt a line.")
        self._begin([{"prompt": prompt} for prompt in prompts], f"A list of {_count(len(prompts), 'prompt')}")

    def paint_grid(self) -> None:
        """Paint a picture for each value of the rows with each of the columns. Raises SettingsError."""
        axes = [axis.chosen for axis in (self._view.rows, self._view.columns) if axis.setting.value]
        for name, values in axes:
            if not values:
                raise SettingsError(f"{name} has no values to compare: write some, with commas between.")
        if not axes or len({name for name, _ in axes}) < len(axes):
            raise SettingsError("Choose two different settings to compare, or one.")
        rows: list[dict[str, Any]] = [{}]
        for name, values in axes:
            rows = [{**row, name: value} for row in rows for value in dict.fromkeys(values)]
        self._begin(rows, f"A grid of {_count(len(rows), 'picture')}")

    def open_cell(self, index: int) -> None:
        """Show an item of the series large. Raises RunError during a run, or if the item has no picture yet."""
        series = REGISTRY.series
        assert series is not None, "a cell belongs to a series"
        if REGISTRY.in_series:
            raise RunError("The others are still being painted; press Stop first, then look at one of them.")
        if error := series.errors.get(index):
            raise RunError(f"It failed: {error}")
        self._controller.library.show_run(RunInfo.read(series.folder(index)))
        self._view.choose(index)

    def go_on(self) -> None:
        """Continue from the end of the chosen item in a new run."""
        if (folder := self._chosen()) and not REGISTRY.running:
            self._controller.run(opening.branch(folder, {}, step=None, pick=None, out=self._controller.out))

    def use_settings(self) -> None:
        """Put the settings of the chosen item into the form."""
        if folder := self._chosen():
            self._controller.library.take_settings(RunInfo.read(folder))

    def write_more(self) -> None:
        """Add prompts like those in the list, or like that in the form. It works in a thread."""
        view, ui = self._view, self._controller.ui
        lines = [line for line in view.lines.value.splitlines() if line.strip()]
        examples = lines or [ui.form.value("prompt")]
        view.write_more.disabled = True
        ui.messages.say("Writing prompts …")

        def work() -> None:
            from vqclip_nb.prompt_writer import write_prompts

            try:
                with listening(lambda text: ui.messages.note(in_titles(text))):
                    perceptor = ui.form.value("perceptor")
                    new_lines = write_prompts(examples, MORE, seed=time.time_ns() % 2**31, perceptor=perceptor)
                view.lines.value = "\n".join([*lines, *new_lines])
                ui.messages.say(f"{_count(len(new_lines), 'prompt')} more in the list.")
            except Exception as error:
                ui.messages.say("")
                self._controller.fail(error)
            finally:
                view.write_more.disabled = False

        threading.Thread(target=work, name="vqclip-write", daemon=True).start()

    def draw(self) -> None:
        """Show the newest series, if there is one."""
        if REGISTRY.series:
            self._view.show(REGISTRY.series)

    def _begin(self, rows: Sequence[Mapping[str, Any]], title: str) -> None:
        """Start a series: one item for each row, with the row's settings over those of the form."""
        if REGISTRY.running or REGISTRY.in_series:
            return
        if len(rows) > MOST:
            raise SettingsError(f"{len(rows)} pictures are more than {MOST}; `vqclip sweep` in a terminal paints them.")
        common = self._controller.settings()
        items = check_distinct([Item(common.replace(**row), row) for row in rows])
        self._controller.library.remember(dict.fromkeys(item.settings.prompt for item in items))
        series = Series(items, self._controller.out, title=title, begin=_begin_job, changed=_on_change)
        REGISTRY.series = series
        _on_change()
        series.start()

    def _chosen(self) -> Path | None:
        series, index = REGISTRY.series, self._view.chosen
        return series.folder(index) if series and index is not None else None


def _begin_job(open: opening.Opener) -> "Job":
    """Start a job of a series, in the panel that is in charge."""
    assert REGISTRY.controller is not None, "a series is begun by a panel"
    REGISTRY.controller.run(open, in_series=True)
    assert REGISTRY.job is not None, "it was started"
    return REGISTRY.job


def _on_change() -> None:
    """Update the panel in charge with the state of the series."""
    if (controller := REGISTRY.controller) and (series := REGISTRY.series):
        if series.ended:
            controller.guarded(lambda: _write_sheet(series))
        controller.guarded(controller.several.draw)
        controller.guarded(controller.refresh_buttons)


def _write_sheet(series: Series) -> None:
    """Write the contact sheet of a series."""
    from vqclip_nb.sweeps.report import contact_sheet

    if not series.painted:
        return
    folder = series.out / SHEETS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(series.items[0].settings.prompt)}.png"
    contact_sheet(series.results, series.axes).save(path)
    series.sheet = path


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
