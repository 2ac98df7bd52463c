"""`vqclip film`: a film of a run, from the frames it has kept."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from vqclip_nb.cli._common import find
from vqclip_nb.paths import expanded


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "film",
        help="make a film of a run: mp4, gif or webp",
        description="Make a film from the frames that a run has kept; early steps are given more of it.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder, or its name in runs/")
    parser.add_argument("--to", metavar="FILE", help="where to: FILE.mp4, .gif or .webp (default: RUN/progress.mp4)")
    parser.add_argument("--fps", type=float, help="frames a second; without --seconds, every kept frame is shown once")
    parser.add_argument("--seconds", type=float, help="how long it is in all (default: 6)")
    parser.add_argument(
        "--hold", type=float, help="how long the last frame stands (default: 1, or 0 where the run is a film)"
    )
    parser.add_argument("--beside", action="store_true", help="put the video that was repainted to its left")
    parser.set_defaults(run=film, parser=parser)


def film(arguments: argparse.Namespace) -> int:
    """Make the film, and say where it is."""
    from vqclip_nb.errors import RunError
    from vqclip_nb.runs.films import beside_video, make_film
    from vqclip_nb.runs.metadata import describe
    from vqclip_nb.runs.reader import RunInfo, frames

    limits = {"fps": (0.1, 120), "seconds": (0.1, 3600), "hold": (0, 60)}
    for name, (low, high) in limits.items():
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:
            raise RunError(f"{name} must be from {low} to {high}, got {value}")
    story = RunInfo.read(find(arguments.folder))
    path = expanded(arguments.to) if arguments.to else story.folder / "progress.mp4"
    kept = frames(story.folder)
    about = describe(
        story.settings,
        timeline=[change.to_dict() for change in story.timeline],
        step=int(kept[-1].stem) if kept else 0,
        hashes=story.hashes or {},
    )
    how = {name: getattr(arguments, name) for name in limits if getattr(arguments, name) is not None}
    about_it = about if story.settings.metadata else None
    if arguments.beside:
        with tempfile.TemporaryDirectory() as folder:
            pairs = beside_video(kept, story.current, story.inputs, Path(folder))
            make_film(pairs, path, story.current, story.inputs, **how, about=about_it)
    else:
        make_film(kept, path, story.current, story.inputs, **how, about=about_it)
    print(f"Made: {path}")
    return 0
