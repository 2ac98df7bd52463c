"""Copies on the command line: a run is painted to its end, and its picture is written where a person expects it too."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vqclip_nb.cli._common import see_through

if TYPE_CHECKING:
    from vqclip_nb.compat.copies import Copies
    from vqclip_nb.session import ActiveRun


def see_copied(active: "ActiveRun", copies: "Copies", watch: Callable[[Any], object] = lambda frame: None) -> int:
    """Paint to the end as `see_through` does, write the copies, and say where they are."""
    from vqclip_nb.compat.copies import path_list

    def take(frame: Any) -> None:
        copies.add(frame)
        watch(frame)

    status = see_through(active, watch=take)
    if (result := active.record.folder / "result.png").is_file():
        print(f"Written: {path_list([*copies.written, *copies.finish(result)])}", file=sys.stderr)
    return status
