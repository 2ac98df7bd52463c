"""`vqclip serve`: a queue of pictures for several people, in the browser and over HTTP."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.cli._common import prepare
from vqclip_nb.paths import expand_home

if TYPE_CHECKING:
    from vqclip_nb.queue import Limits


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        help="let several people ask for pictures, in the browser or over HTTP",
        description="Serve a web page and an HTTP API where people ask for pictures. People take fair turns. "
        "Each person has a token. Ctrl-C ends the server; the next start continues with the remaining jobs.",
        epilog="for example: vqclip serve --add-person Ada; then: vqclip serve",
        allow_abbrev=False,
    )
    add_queue_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on (default: 8000)")
    parser.add_argument("--ray", action="store_true", help="paint with Ray, on all GPUs of this machine or on its CPUs")
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="paint on the Ray cluster at this address, or `auto` (default: RAY_ADDRESS, if it is set)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="with Ray: the largest number of pictures at once")
    parser.add_argument(
        "--example", action="store_true", help="print an example file of limits with comments, and exit"
    )
    parser.add_argument("--guests", action="store_true", help="also accept people without a token")
    parser.add_argument("--add-person", metavar="NAME", help="create a token for a person, print it, and exit")
    parser.add_argument("--remove-person", metavar="NAME", help="revoke a person's token, and exit")
    parser.add_argument("--people", action="store_true", help="list the people who have a token, and exit")
    parser.set_defaults(run=serve, parser=parser)


def add_queue_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the server and the bot share."""
    parser.add_argument(
        "--data", default="queue", metavar="FOLDER", help="folder of the queue and its pictures (default: queue)"
    )
    parser.add_argument(
        "--device",
        action="append",
        metavar="DEVICE",
        help="auto, cpu, cuda:0, ...; repeat the option to paint on several devices at once",
    )
    parser.add_argument(
        "--limits",
        metavar="FILE",
        help="a file of limits on what people may ask for (default: limits.toml in the --data folder)",
    )


def serve(arguments: argparse.Namespace) -> int:
    """Add, remove or list people; or serve until a signal arrives."""
    from vqclip_nb.queue import Store
    from vqclip_nb.queue.limits import EXAMPLE

    if arguments.example:
        print(EXAMPLE, end="")
        return 0
    folder = expand_home(arguments.data)
    limits = read_limits(folder, arguments.limits)
    if not (arguments.add_person or arguments.remove_person or arguments.people):
        return _serve(arguments, folder, limits)
    store = Store(folder)
    if arguments.add_person:
        print(store.add_person(arguments.add_person))
        print(f"vqclip: the token of {arguments.add_person}; it is not shown again", file=sys.stderr)
    elif arguments.remove_person:
        store.remove_person(arguments.remove_person)
    else:
        print("\n".join(store.people()))
    return 0


def read_limits(folder: Path, file: str | None) -> "Limits":
    """Read the limits from a file; without one, from the queue's folder, or use the defaults."""
    from vqclip_nb.queue import Limits

    path = expand_home(file) if file else folder / "limits.toml"
    return Limits.read(path) if file or path.exists() else Limits()


def prepare_models(limits: "Limits") -> None:
    """Download the missing models of all allowed canvases and perceptors."""
    from vqclip_nb.settings import Settings

    for canvas in limits.canvases:
        prepare(Settings(canvas=canvas, perceptor=limits.perceptors[0]))
    for perceptor in limits.perceptors:
        prepare(Settings(canvas=limits.canvases[0], perceptor=perceptor))


def _serve(arguments: argparse.Namespace, folder: Path, limits: "Limits") -> int:
    from vqclip_nb.errors import SettingsError
    from vqclip_nb.queue import Store
    from vqclip_nb.queue.workers import Workers

    if not 0 < arguments.port < 65_536:
        raise SettingsError(f"port must be from 1 to 65535, got {arguments.port}")
    try:
        from vqclip_nb.queue.server import Server
    except ImportError as error:
        raise ImportError(f'`vqclip serve` needs {error.name}; run pip install "vqclip_nb[serve]"') from None
    devices, program = _devices_and_program(arguments)
    prepare_models(limits)
    server = Server(arguments.host, arguments.port)
    store = Store(folder)
    if not (arguments.guests or store.people()):
        print("vqclip: nobody has a token yet; `vqclip serve --add-person NAME` makes one", file=sys.stderr)
    with Workers(store, limits, devices, program=program):
        print(f"vqclip: serving {server.address}; Ctrl-C ends", file=sys.stderr)
        server.run(store, limits, guests=arguments.guests)
    return 0


def _devices_and_program(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The devices, and the command of the process that paints on each. Raises SettingsError, RunError, ImportError."""
    from vqclip_nb.errors import SettingsError
    from vqclip_nb.queue import workers

    address = arguments.address
    if not (arguments.ray or arguments.device):
        address = address or os.environ.get("RAY_ADDRESS")
    if not (arguments.ray or address):
        if arguments.workers is not None:
            raise SettingsError("--workers is an option for Ray; add --ray, or --address HOST:PORT, or repeat --device")
        return arguments.device or ["auto"], [*workers.PROGRAM]
    if arguments.device:
        raise SettingsError("Ray uses all devices; leave out --device, or --ray and --address")
    from vqclip_nb.sweeps.ray_start import check

    check(address, arguments.workers)
    options = {"--address": address, "--workers": arguments.workers}
    words = [str(word) for name, value in options.items() if value is not None for word in (name, value)]
    return ["auto"], [*workers.RAY_PROGRAM, *words]
