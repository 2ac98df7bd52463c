"""Painting in a cell without a panel, for front ends in which the panel does not work, and for scripts."""

import io
import time
from typing import Any

from vqclip_nb.settings import Settings
from vqclip_nb.studio.opening import fetch_models


def paint_here(settings: Settings) -> str:
    """Paint in this cell, and show the picture below it as it grows. Returns the path of result.png.

    The cell's stop button ends the run and keeps everything. Raises as `session.start` does.
    """

    from IPython.display import Image, display

    from vqclip_nb import images, session

    fetch_models(settings, print)
    active = session.start(settings)
    handle, shown_at = display(Image(data=_jpeg(images.to_pils(active.painting.picture()))), display_id=True), 0.0
    try:
        for frame in active:
            if frame.image is not None and time.monotonic() - shown_at > 2:
                handle.update(Image(data=_jpeg(images.to_pils(frame.image))))
                shown_at = time.monotonic()
    except KeyboardInterrupt:
        pass
    result = active.record.finish(active.painting)
    handle.update(Image(filename=str(result)))
    return str(result)


def _jpeg(pils: list[Any]) -> bytes:
    from vqclip_nb.images import grid

    file = io.BytesIO()
    grid(pils).save(file, "JPEG", quality=85)
    return file.getvalue()
