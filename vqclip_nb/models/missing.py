"""Missing models: downloads those that are not on the disk, with a progress bar for a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from vqclip_nb.models import catalog, download, transfer


def download_missing(entries: Iterable[catalog.Entry], *, quiet: bool = False) -> None:
    """Download missing models, with their names and sizes and one progress bar. Raises `CannotFetch`."""
    from tqdm import tqdm

    missing = {entry.full_name: entry for entry in entries if not entry.on_disk}
    if not missing:
        return
    progress_by_name: dict[str, int] = {}
    totals: dict[str, int | None] = {entry.name: entry.size for entry in missing.values()}
    announcements = [f"{name} ({size_text(entry)})" for name, entry in missing.items()]
    with tqdm(unit="B", unit_scale=True, unit_divisor=1000, delay=0.5, file=sys.stderr, disable=quiet) as bar:

        def report(progress: transfer.Progress) -> None:
            if announcements:  # announced once a download really starts
                bar.write(
                    f"vqclip: fetching {' and '.join(announcements)} once, into {catalog.home()}", file=sys.stderr
                )
                announcements.clear()
                bar.delay = 0  # `write` has shown the bar, so it must be closed with a line
            if progress.note:
                bar.write(f"{progress.name}: {progress.note}", file=sys.stderr)
                return
            progress_by_name[progress.name] = progress.done
            totals[progress.name] = progress.total
            bar.total = sum(total or 0 for total in totals.values()) or None
            bar.update(sum(progress_by_name.values()) - bar.n)

        for name, entry in missing.items():
            bar.set_description(name, refresh=False)
            download.fetch(entry, report=(lambda progress: None) if quiet else report)


def size_text(entry: catalog.Entry) -> str:
    """The size of a model's download, in words."""
    return f"{entry.size / 1e6:,.0f} MB" if entry.size else "size unknown"
