"""The Studio: the panel as a widget for a notebook cell."""

from pathlib import Path

import ipywidgets as widgets

from vqclip_nb.settings import Settings
from vqclip_nb.studio.controller import Controller


class Studio(widgets.VBox):
    """The panel. Put it last in a cell. If the cell is run again, the new panel shows the run that is in progress.

    out: the folder of the runs; None takes that of the settings. mirror: a folder for copies of the runs, such as one
    on a mounted drive. settings: the form's first values, unless a run is in progress; None takes those of the last
    run, or of the last session.
    """

    def __init__(
        self, *, out: str | Path | None = None, mirror: str | Path | None = None, settings: Settings | None = None
    ) -> None:
        self.controller = Controller(out=out, mirror=mirror, settings=settings)
        self.ui = self.controller.ui
        super().__init__(self.ui.children)
        self.add_class("vq-studio")

    async def serve(self) -> None:
        """Keep the panel alive in Colab: the cell ends with `await studio.serve()`. Elsewhere it returns at once."""
        await self.controller.serve()

    def close(self) -> None:
        """Close the panel. A run in progress continues."""
        self.controller.closed = True
        super().close()
