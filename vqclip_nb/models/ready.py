"""Ready: fetching what is not on the disk yet, with a bar for a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from vqclip_nb.models import catalog, download, transfer


def ready(entries: Iterable[catalog.Entry], *, quiet: bool = False) -> None:
    """Fetch what is not on the disk yet, saying first what and how big, with one progress bar. Raises `CannotFetch`."""
    from tqdm import tqdm

    missing = {entry.full_name: entry for entry in entries if not entry.on_disk}
    if not missing:
        return
    done: dict[str, int] = {}
    totals: dict[str, int | None] = {entry.name: entry.size for entry in missing.values()}
    said = [f"{name} ({size_of(entry)})" for name, entry in missing.items()]
    with tqdm(unit="B", unit_scale=True, unit_divisor=1000, delay=0.5, file=sys.stderr, disable=quiet) as bar:

        def report(progress: transfer.Progress) -> None:
            if said:  # only now is it sure that there is something to fetch
                bar.write(f"vqclip: fetching {' and '.join(said)} once, into {catalog.home()}", file=sys.stderr)
                said.clear()
                bar.delay = 0  # what was written shows the bar, so it must end with a line of its own
            if progress.note:
                bar.write(f"{progress.name}: {progress.note}", file=sys.stderr)
                return
            done[progress.name] = progress.done
            totals[progress.name] = progress.total
            bar.total = sum(total or 0 for total in totals.values()) or None
            bar.update(sum(done.values()) - bar.n)

        for name, entry in missing.items():
            bar.set_description(name, refresh=False)
            download.fetch(entry, report=(lambda progress: None) if quiet else report)


def size_of(entry: catalog.Entry) -> str:
    """What a model's download weighs, in words."""
    return f"{entry.size / 1e6:,.0f} MB" if entry.size else "size unknown"
