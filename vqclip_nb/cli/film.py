"""`vqclip film`: a film of a run, from its frames."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from vqclip_nb.cli._common import find_run
from vqclip_nb.paths import expand_home


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "film",
        help="make a film of a run: mp4, gif or webp",
        description="Make a film from the frames of a run. Early steps, which change the picture most, "
        "are shown for longer.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder, or its name in runs/")
    parser.add_argument("--to", metavar="FILE", help="the film: FILE.mp4, .gif or .webp (default: RUN/progress.mp4)")
    parser.add_argument("--fps", type=float, help="frames per second; without --seconds, every frame is shown once")
    parser.add_argument("--seconds", type=float, help="length of the film (default: 6)")
    parser.add_argument(
        "--hold", type=float, help="seconds for which the last frame is held (default: 1, or 0 if the run is a film)"
    )
    parser.add_argument(
        "--beside", action="store_true", help="show the original video on the left, for a run that repaints one"
    )
    parser.set_defaults(run=film, parser=parser)


def film(arguments: argparse.Namespace) -> int:
    """Make the film, and print its path."""
    from vqclip_nb.errors import RunError
    from vqclip_nb.runs.films import beside_video, make_film
    from vqclip_nb.runs.metadata import describe
    from vqclip_nb.runs.reader import RunInfo, frames
    from vqclip_nb.safe_files import need

    limits = {"fps": (0.1, 120), "seconds": (0.1, 3600), "hold": (0, 60)}
    for name, (low, high) in limits.items():
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:
            raise RunError(f"{name} must be from {low} to {high}, got {value}")
    info = RunInfo.read(find_run(arguments.folder))
    path = expand_home(arguments.to) if arguments.to else info.folder / "progress.mp4"
    need(info.folder / "frames", "a folder")  # no link is followed
    paths = frames(info.folder)
    about = describe(
        info.settings,
        timeline=[change.to_dict() for change in info.timeline],
        step=int(paths[-1].stem) if paths else 0,
        hashes=info.hashes or {},
    )
    options = {name: getattr(arguments, name) for name in limits if getattr(arguments, name) is not None}
    metadata = about if info.settings.metadata else None
    if arguments.beside:
        with tempfile.TemporaryDirectory() as folder:
            pairs = beside_video(paths, info.current, info.inputs, Path(folder))
            make_film(pairs, path, info.current, info.inputs, **options, about=metadata)
    else:
        make_film(paths, path, info.current, info.inputs, **options, about=metadata)
    print(f"Made: {path}")
    return 0
