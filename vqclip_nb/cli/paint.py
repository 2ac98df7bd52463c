"""`vqclip paint`: the flags are read off Settings, the picture and its film are written into a folder."""

import argparse
from pathlib import Path
from typing import Any

from vqclip_nb.cli._common import add_flag, explained, given, prepare, see_through
from vqclip_nb.settings import GROUPS, Settings, group


def add(subparsers: Any) -> None:
    """Add the command, with a flag for each field of Settings."""
    parser = subparsers.add_parser(
        "paint",
        help="paint a picture from a sentence",
        description="Paint a picture from a sentence. Writes a folder with the picture, its settings and its film; "
        "Ctrl-C ends it and keeps the picture so far.",
        epilog='for example: vqclip paint "a red house by the sea at sunset | fog:-0.3" --size 320 256 --seed 7',
        allow_abbrev=False,
    )
    parser.add_argument("prompt", nargs="?", default=argparse.SUPPRESS, help=explained("prompt"))
    for heading in GROUPS:
        section = parser.add_argument_group(heading)
        for name in (name for name in Settings.model_fields if group(name) == heading and name != "prompt"):
            add_flag(section, name)
        if heading == "What":
            section.add_argument("--settings", metavar="FILE", help="begin with the settings in this JSON or picture")
    parser.set_defaults(run=paint, parser=parser)


def paint(arguments: argparse.Namespace) -> int:
    """Paint, show how it goes, and say where the picture is."""
    settings = read_settings(arguments)
    from vqclip_nb.runs.reader import inputs_of
    from vqclip_nb.runs.founding import check_out
    from vqclip_nb.session import start

    check_out(settings.out)
    prepare(settings)
    inputs = inputs_of(Path(arguments.settings)) if arguments.settings else None
    return see_through(start(settings, inputs=inputs))


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for; an empty or missing prompt is an error."""
    values = given(arguments)
    if arguments.settings:
        return _from_file(arguments.settings).replace(**values)
    if "prompt" not in values:
        values["prompt"] = ""  # said by Settings, unless there are image prompts
    return Settings(**values)


def _from_file(path: str) -> Settings:
    if path.lower().endswith(".json"):
        with open(path, "rb") as file:
            return Settings.from_json(file.read())
    return Settings.from_image(path)
