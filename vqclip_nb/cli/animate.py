"""`vqclip animate`: paints a film of the scenes in a file."""

import argparse
import re
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqclip_nb.animation import EXAMPLE, Animation, film_settings
from vqclip_nb.cli._common import add_flag, paint_to_end, prepare, settings_from
from vqclip_nb.errors import PaintWarning, PictureError, SettingsError
from vqclip_nb.fields import by_name
from vqclip_nb.paths import expand_home

FLAGS = ("seed", "size", "device", "out", "metadata", "quiet")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "animate",
        help="paint a film of scenes, with a camera, or repaint a video",
        description="Paint a film of scenes, described in a file, with a moving camera, or repaint a video. It is a "
        "run like any other: `vqclip resume`, `branch`, `film` and `info` work on it.",
        epilog="for example: vqclip animate --example > film.yaml; vqclip animate film.yaml",
        allow_abbrev=False,
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="a YAML or JSON file with scenes (not needed with --example)"
    )
    parser.add_argument("--example", action="store_true", help="print an example file with comments, and exit")
    parser.add_argument(
        "--video",
        metavar="FILE",
        help="repaint this video, or the pictures in this folder, sorted by name; overrides `video` in FILE",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the number of frames and steps, and exit")
    for name in FLAGS:
        add_flag(parser, name)
    parser.set_defaults(run=animate, parser=parser)


def animate(arguments: argparse.Namespace) -> int:
    """Read the file, and paint the film."""
    if arguments.example:
        print(EXAMPLE, end="")
        return 0
    if arguments.file is None:
        raise SettingsError("a film needs a file; `vqclip animate --example` prints one")
    animation = Animation.read(path := expand_home(arguments.file))
    flags = {name: value for name, value in settings_from(arguments).items() if name in FLAGS}
    animation = replace(animation, more={**animation.more, **flags})
    if arguments.video:
        animation = replace(animation, video=str(expand_home(arguments.video)))
    elif animation.video and not Path(animation.video).is_absolute():
        animation = replace(animation, video=str(path.parent / animation.video))  # relative to the file
    with tempfile.TemporaryDirectory() as folder:
        if animation.video and Path(animation.video).is_dir():
            animation = replace(
                animation, video=str(_lossless_film(Path(animation.video), Path(folder), animation.fps))
            )
        return _paint(animation, dry_run=arguments.dry_run)


def _paint(animation: Animation, *, dry_run: bool) -> int:
    try:
        settings = film_settings(animation)
    except SettingsError as error:
        raise SettingsError(re.sub(r"add --([a-z-]+) (\S+)$", _file_advice, str(error))) from None
    if dry_run:
        frames, (width, height) = settings.frame_count(settings.steps), settings.size
        seconds = frames / (settings.fps or 1)
        count = "1 frame" if frames == 1 else f"{frames} frames"
        print(f"{count} of {width} x {height}, {seconds:.1f} s of film, {settings.steps} steps")
        for sentence in settings.unreached:
            warnings.warn(sentence, PaintWarning, stacklevel=2)
        return 0
    from vqclip_nb.runs.creation import check_out
    from vqclip_nb.session import start

    check_out(settings.out)
    prepare(settings)
    return paint_to_end(start(settings))


def _file_advice(flag: re.Match[str]) -> str:
    """Advice to add a flag of `vqclip paint`, changed to advice for the file."""
    name, value = flag[1].replace("-", "_"), flag[2]
    return f"add {name}: {f'[{value}]' if by_name(name).kind == 'list' else value} under settings"


def _lossless_film(source: Path, folder: Path, fps: float | None) -> Path:
    """Write a lossless film of the pictures in a folder, sorted by name, and return its path."""
    from vqclip_nb.film_fields import DEFAULT_FPS
    from vqclip_nb.video import film

    pictures = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURES)
    if not pictures:
        raise PictureError(f"video must be a film or a folder of pictures, got {str(source)!r}, which has no pictures")
    film(pictures, folder / "pictures.mkv", fps=fps or DEFAULT_FPS, hold=0.0)
    return folder / "pictures.mkv"
