"""`vqclip bot`: a bot on Discord that paints what people ask for."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.cli.serve import add_queue_options, prepare_models, read_limits
from vqclip_nb.paths import expand_home

if TYPE_CHECKING:
    from vqclip_nb.queue import Limits, Store

TOKEN = "DISCORD_TOKEN"


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "bot",
        help="paint what people ask for on Discord, by `.imagine` and `/imagine`",
        description=f"Run a bot on Discord. Its token is read from the environment variable {TOKEN}. `.imagine a "
        "castle` and /imagine put a picture into the queue; the reply shows it while it is painted. Ctrl-C ends it.",
        epilog=f"for example: {TOKEN}=... vqclip bot",
        allow_abbrev=False,
    )
    add_queue_options(parser)
    parser.add_argument("--slash-only", action="store_true", help="respond only to /imagine, without reading messages")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the bot until a signal arrives."""
    from vqclip_nb.errors import SettingsError

    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise SettingsError(f"{TOKEN} must hold the bot's token: export {TOKEN}=..., from discord.com/developers")
    folder = expand_home(arguments.data)
    limits = read_limits(folder, arguments.limits)
    try:
        from vqclip_nb.queue.connection import connect
    except ImportError as error:
        raise ImportError(f'`vqclip bot` needs {error.name}; run pip install "vqclip_nb[bot]"') from None
    prepare_models(limits)
    options: dict[str, Any] = {"dot": not arguments.slash_only, "tell": _print_message}
    return _run(arguments, folder, limits, lambda store: connect(store, limits, token, **options))


def _run(arguments: argparse.Namespace, folder: Path, limits: "Limits", connect: "Callable[[Store], object]") -> int:
    """Connect to Discord. Workers of this process paint, or those of a `vqclip serve` on the same folder."""
    from vqclip_nb.queue import Store
    from vqclip_nb.queue.workers import FolderInUse, Workers

    store = Store(folder)
    workers: Any = Workers(store, limits, arguments.device or ["auto"])
    try:
        workers.__enter__()
    except FolderInUse:
        print("vqclip: `vqclip serve` runs on this folder, and paints the pictures", file=sys.stderr)
        workers = nullcontext()
    try:
        connect(store)
    finally:
        workers.__exit__(None, None, None)
        store.close()
    return 0


def _print_message(message: str) -> None:
    print(f"vqclip: {message}", file=sys.stderr)
