"""`vqclip models`: what there is, what is on the disk, and fetching, checking, removing and adding."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from vqclip_nb.models import catalog, download


def add(subparsers: Any) -> None:
    """Add the command to the `vqclip` parser."""
    parser = subparsers.add_parser("models", help="list the models; get, check, remove or add one")
    parser.set_defaults(run=show, parser=parser)
    actions = parser.add_subparsers(metavar="get | check | remove | add")
    for name, (run, said) in ACTIONS.items():
        action = actions.add_parser(name, help=said, description=said)
        action.set_defaults(run=run, parser=action)
        if name == "add":
            action.add_argument("name", help="a new name; the canvas is then vqgan/NAME")
            action.add_argument("--config", required=True, metavar="F", help="its taming YAML file, by path or address")
            action.add_argument("--weights", required=True, metavar="F", help="its checkpoint, by path or address")
        else:
            action.add_argument("names", nargs="+", metavar="NAME", help="as `vqclip models` lists it")
        if name == "get":
            action.add_argument("--keep", action="store_true", help="copy to the second home too (VQCLIP_SECOND_HOME)")


def show(arguments: argparse.Namespace) -> int:
    """Print every model with what is known of it and whether it is on the disk."""
    for kind, used_as in catalog.KINDS.items():
        print(f"\n{kind} ({used_as})")
        for entry in catalog.entries(kind):
            print(f"  {'*' if entry.on_disk else ' '} {entry.name:20} {_size(entry):>12}  {_said(entry)}")
    print(f"\n* on the disk, in {catalog.home()}. `vqclip models get NAME` fetches one.")
    return 0


def get(arguments: argparse.Namespace) -> int:
    """Fetch models, with one progress bar for all of them."""
    entries = [catalog.info(name) for name in arguments.names]
    ready(entries)
    for entry in entries:
        if arguments.keep:
            print(f"{entry.full_name}: copied to {download.keep(entry)}")
        else:
            print(f"{entry.full_name}: {entry.files()[0]}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Read models' files whole and compare their hashes with the published ones."""
    for entry in [catalog.info(name) for name in arguments.names]:
        print(f"{entry.full_name}: {download.check(entry)}")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Delete models' files."""
    for entry in [catalog.info(name) for name in arguments.names]:
        print(f"{entry.full_name}: {catalog.remove(entry) / 1e6:,.0f} MB freed")
    return 0


def enter(arguments: argparse.Namespace) -> int:
    """Enter a person's own VQGAN and fetch its weights; nothing stays behind when that fails."""
    from vqclip_nb.models.vqgan import VQGANConfig, read_yaml

    with download.borrowed(arguments.config) as path:
        config = read_yaml(path)
    VQGANConfig.from_taming(config)
    entry = catalog.add(arguments.name, config, arguments.weights)
    try:
        ready([entry])
    except BaseException:
        catalog.remove(entry)
        raise
    print(f"{entry.full_name} is ready: vqclip paint --canvas {entry.full_name} PROMPT")
    return 0


def ready(entries: Iterable[catalog.Entry], *, quiet: bool = False) -> None:
    """Fetch what is not on the disk yet, saying first what and how big, with one progress bar. Raises `CannotFetch`."""
    from tqdm import tqdm

    missing = {entry.full_name: entry for entry in entries if not entry.on_disk}
    if not missing:
        return
    done: dict[str, int] = {}
    totals: dict[str, int | None] = {entry.name: entry.size for entry in missing.values()}
    said = [f"{name} ({_size(entry)})" for name, entry in missing.items()]
    with tqdm(unit="B", unit_scale=True, unit_divisor=1000, delay=0.5, file=sys.stderr, disable=quiet) as bar:

        def report(progress: download.Progress) -> None:
            if said:  # only now is it sure that there is something to fetch
                bar.write(f"vqclip: fetching {' and '.join(said)} once, into {catalog.home()}", file=sys.stderr)
                said.clear()
            if progress.note:
                bar.write(f"{progress.name}: {progress.note}", file=sys.stderr)
                return
            done[progress.name] = progress.done
            totals[progress.name] = progress.total
            bar.total = sum(total or 0 for total in totals.values()) or None
            bar.update(sum(done.values()) - bar.n)

        for name, entry in missing.items():
            bar.set_description(name, refresh=False)
            download.fetch(entry, report=None if quiet else report)


ACTIONS = {
    "get": (get, "fetch models"),
    "check": (check, "compare models on the disk with their published hashes"),
    "remove": (remove, "delete models from the disk"),
    "add": (enter, "use a VQGAN of your own"),
}


def _size(entry: catalog.Entry) -> str:
    return f"{entry.size / 1e6:,.0f} MB" if entry.size else "size unknown"


def _said(entry: catalog.Entry) -> str:
    said = [entry.good_at]
    if not entry.alive and not entry.on_disk:
        said.append("no address is alive")
    elif not entry.packaged and entry.sha256 is None:
        said.append("sha256 unknown")
    return "; ".join(said)
