"""Copies of the picture outside the run's folder, such as the output.png of `vqclip generate`."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vqclip_nb.cli._common import paint_to_end

if TYPE_CHECKING:
    from vqclip_nb.compat.copies import Copies
    from vqclip_nb.session import ActiveRun


def paint_with_copies(
    active: "ActiveRun", copies: "Copies", watch: Callable[[Any], object] = lambda frame: None
) -> int:
    """Paint to the end like `paint_to_end`, write the copies, and print their paths."""
    from vqclip_nb.compat.copies import path_list

    def add_and_watch(frame: Any) -> None:
        copies.add(frame)
        watch(frame)

    status = paint_to_end(active, watch=add_and_watch)
    if (result := active.record.folder / "result.png").is_file():
        print(f"Written: {path_list([*copies.written, *copies.finish(result)])}", file=sys.stderr)
    return status
