"""`vqclip info`: the settings of a picture, and the command that paints it again."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqclip_nb.cli._paint_line import paint_line
from vqclip_nb.cli._shell import command as shell
from vqclip_nb.escapes import visible
from vqclip_nb.paths import expand_home
from vqclip_nb.settings import Settings


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "info",
        help="show how a picture was painted, and the command that paints it again",
        description="Show the settings inside a picture, a film or a run, and the command that paints it again.",
        allow_abbrev=False,
    )
    parser.add_argument("file", help="a PNG, JPEG, WebP or mp4 made by vqclip, or a run's folder")
    parser.set_defaults(run=info, parser=parser)


def info(arguments: argparse.Namespace) -> int:
    """Print the metadata of the picture, and the command that paints it again."""
    description = _describe(expand_home(arguments.file))
    settings = Settings(**description["settings"])
    for line in json.dumps(description, indent=2, ensure_ascii=False).splitlines():
        print(visible(line))
    print(command(settings, description, arguments.file))
    return 0


def _describe(path: Path) -> dict[str, Any]:
    from vqclip_nb.embedded import read
    from vqclip_nb.runs.metadata import describe
    from vqclip_nb.runs.reader import RunInfo

    if not path.is_dir():
        return read(path)
    run = RunInfo.read(path)
    timeline = [change.to_dict() for change in run.timeline]
    step = max(run.saved_steps, default=run.settings.steps)
    return describe(run.settings, timeline=timeline, step=step, hashes=run.hashes or {})


def command(settings: Settings, description: Mapping[str, Any], source: str) -> str:
    """The shell command that paints the picture again.

    It is `vqclip paint` with the settings that differ from the defaults, or `vqclip replay` if settings changed during
    the run, the run was stopped early, or it had input pictures or a video.
    """
    if description["timeline"] or description.get("step", settings.steps) != settings.steps or _has_inputs(settings):
        return shell("vqclip", "replay", operands=[source])
    return paint_line(settings)


def _has_inputs(settings: Settings) -> bool:
    return bool(settings.init_image or settings.image_prompts or settings.prompt_masks or settings.video)
