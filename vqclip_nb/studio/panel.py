"""The Studio: the widget that a cell shows."""

from pathlib import Path

import ipywidgets as widgets

from vqclip_nb.settings import Settings
from vqclip_nb.studio.controller import Controller


class Studio(widgets.VBox):
    """The panel. Put it last in a cell; running the cell again finds the run that is still going.

    out: the folder of the runs; without it that of the settings. mirror: a second folder, such as one on a mounted
    drive, that they are copied to. settings: what the form begins with, unless a run is still going; without them it
    begins with those of the last run, or with the form of last time.
    """

    def __init__(
        self, *, out: str | Path | None = None, mirror: str | Path | None = None, settings: Settings | None = None
    ) -> None:
        self.controller = Controller(out=out, mirror=mirror, settings=settings)
        self.ui = self.controller.ui
        super().__init__(self.ui.children)
        self.add_class("vq-studio")

    async def serve(self) -> None:
        """Last line of the cell: `await studio.serve()`. In Colab it keeps the panel alive; elsewhere it returns."""
        await self.controller.serve()

    def close(self) -> None:
        """Let go of the panel; a run that goes on is not ended by it."""
        self.controller.closed = True
        super().close()
