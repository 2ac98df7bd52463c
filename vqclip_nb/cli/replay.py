"""`vqclip replay`: paint again what a run, or a picture, says was painted."""

import argparse
from typing import Any

from vqclip_nb.cli._common import add_flag, find, given, prepare, see_through
from vqclip_nb.paths import expanded


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "replay",
        help="paint a run again, from its settings and the changes made",
        description="Paint again what a run's folder, or a picture painted by vqclip, says was painted, "
        "with every change at its step.",
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
    """Paint it again, in a folder of its own."""
    from vqclip_nb.embedded import read
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.session import replay
    from vqclip_nb.settings import Settings

    source, place = expanded(arguments.source), given(arguments)
    source = source if source.is_file() else find(arguments.source)
    settings = RunInfo.read(source).settings if source.is_dir() else Settings(**read(source)["settings"])
    prepare(settings.replace(**place))
    return see_through(replay(source, run_options=place))
