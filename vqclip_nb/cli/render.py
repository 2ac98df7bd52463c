"""`vqclip render`: a run's picture at a larger size, for canvases that can render at any size."""

import argparse
from contextlib import suppress
from typing import Any

from vqclip_nb.cli._common import add_flag, find_run, prepare, settings_from
from vqclip_nb.paths import expand_home


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "render",
        help="render a run's picture at a larger size (siren and fourier)",
        description="Render the picture of a run at any larger size, without further steps. This works for the "
        "canvases siren and fourier.",
        epilog="for example: vqclip render runs/20260722-101500-a-castle-0 --size 4096 4096",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder, or its name in runs/")
    parser.add_argument("--size", nargs=2, type=int, metavar=("W", "H"), required=True, help="width and height")
    parser.add_argument("--to", metavar="FILE", help="the PNG to write (default: RUN/render-WxH.png)")
    add_flag(parser, "device")
    parser.set_defaults(run=render, parser=parser)


def render(arguments: argparse.Namespace) -> int:
    """Render the picture, or each of several variations, to a file, and print its path."""
    from vqclip_nb import embedded
    from vqclip_nb.errors import PictureError, SettingsError
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.safe_files import write
    from vqclip_nb.session import render

    width, height = arguments.size
    info = RunInfo.read(folder := find_run(arguments.folder))
    path = expand_home(arguments.to) if arguments.to else folder / f"render-{width}x{height}.png"
    if path.suffix.lower() != ".png":
        raise SettingsError(f"to must end in .png, got {arguments.to!r}")
    if not path.absolute().parent.is_dir():
        raise SettingsError(f"to must be in an existing folder, got {arguments.to!r}")
    run_options = {name: value for name, value in settings_from(arguments).items() if name == "device"}
    prepare(info.settings.replace(**run_options))
    pils = render(folder, (width, height), run_options=run_options)
    for number, pil in enumerate(pils, 1):
        target = path if len(pils) == 1 else path.with_stem(f"{path.stem}-{number}")
        about = None
        with suppress(PictureError):  # painted with --no-metadata, or stopped before its result
            about = embedded.read(folder / ("result.png" if len(pils) == 1 else f"result-{number}.png"))
        write(target, embedded.encode(pil, "PNG", about))
        print(f"Rendered: {target}")
    return 0
