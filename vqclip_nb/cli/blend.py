"""`vqclip blend`: a film that morphs from one painted picture to the next."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from vqclip_nb.cli._common import add_flag, find_run, prepare, settings_from
from vqclip_nb.errors import RunError
from vqclip_nb.paths import expand_home


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "blend",
        help="make a film that morphs from one painted picture to the next",
        description="Make a film that morphs between the pictures of several runs, for example of two prompts or two "
        "seeds. The runs must have the same canvas and size.",
        epilog="for example: vqclip blend RUN RUN --frames 48 --loop --to morph.mp4",
        allow_abbrev=False,
    )
    parser.add_argument("folders", nargs="+", metavar="RUN", help="the runs' folders, or their names in runs/")
    parser.add_argument(
        "--frames", type=int, default=48, help="number of frames from each picture to the next (default: 48)"
    )
    parser.add_argument("--fps", type=float, default=24.0, help="frames per second (default: 24)")
    parser.add_argument("--loop", action="store_true", help="end with a morph back to the first picture")
    parser.add_argument(
        "--to", default="blend.mp4", metavar="FILE", help="the film: FILE.mp4, .gif, .webp or .mkv (default: blend.mp4)"
    )
    add_flag(parser, "device")
    parser.set_defaults(run=blend, parser=parser)


def blend(arguments: argparse.Namespace) -> int:
    """Render the pictures between the runs' pictures, make the film, and print its path."""
    from vqclip_nb.interpolation import pictures_between
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.video import film

    if len(arguments.folders) < 2:
        raise RunError("blend needs at least two runs; `vqclip runs` lists them")
    if not 1 <= arguments.frames <= 10_000 or not 1 <= arguments.fps <= 120:
        limits = "frames must be from 1 to 10000 and fps from 1 to 120"
        raise RunError(f"{limits}, got {arguments.frames} and {arguments.fps:g}")
    folders = [find_run(name) for name in arguments.folders]
    run_options = {name: value for name, value in settings_from(arguments).items() if name == "device"}
    prepare(RunInfo.read(folders[0]).settings.replace(**run_options))
    path = expand_home(arguments.to)
    with tempfile.TemporaryDirectory() as scratch:
        paths: list[Path] = []
        for pil in pictures_between(folders, arguments.frames, loop=arguments.loop, run_options=run_options):
            paths.append(Path(scratch) / f"{len(paths):06}.png")
            pil.save(paths[-1], compress_level=1)
        film(paths, path, fps=arguments.fps, hold=0.0)
    print(f"Made: {path}")
    return 0
