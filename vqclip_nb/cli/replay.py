"""`vqclip replay`: paint a run or a picture again."""

import argparse
from typing import Any

from vqclip_nb.cli._common import add_flag, find_run, paint_to_end, prepare, settings_from
from vqclip_nb.paths import expand_home


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "replay",
        help="paint a run again, from its settings and its edits",
        description="Paint a run again from its folder, or from a picture painted by vqclip. Its edits are "
        "repeated too.",
        allow_abbrev=False,
    )
    parser.add_argument("source", metavar="RUN", help="a run's folder, its name in runs/, or a picture")
    for name in (
        "init_image",
        "mask",
        "video",
        "image_prompts",
        "prompt_masks",
        "out",
        "every",
        "device",
        "metadata",
        "quiet",
    ):
        add_flag(parser, name)
    parser.set_defaults(run=replay, parser=parser)


def replay(arguments: argparse.Namespace) -> int:
    """Paint the run or the picture again, in a new folder."""
    from vqclip_nb.embedded import read
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.session import replay
    from vqclip_nb.settings import Settings

    source, run_options = expand_home(arguments.source), settings_from(arguments)
    source = source if source.is_file() else find_run(arguments.source)
    settings = RunInfo.read(source).settings if source.is_dir() else Settings(**read(source)["settings"])
    prepare(settings.replace(**run_options))
    return paint_to_end(replay(source, run_options=run_options))
