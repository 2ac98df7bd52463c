"""`vqclip paint`: the flags are read off Settings, the picture and its film are written into a folder."""

import argparse
from pathlib import Path
from typing import Any

from vqclip_nb import canvases, presets
from vqclip_nb.cli._common import add_flag, explained, given, prepare, see_through
from vqclip_nb.fields import GROUPS, fields
from vqclip_nb.settings import Settings


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
        names = dict.fromkeys(field.name for field in fields() if field.group == heading and field.name != "prompt")
        for name in names:
            add_flag(section, name)
        if heading == "What":
            section.add_argument(
                "--preset", metavar="NAME", help="begin with the settings of a recipe: " + ", ".join(presets.names())
            )
            section.add_argument("--settings", metavar="FILE", help="begin with the settings in this JSON or picture")
    parser.set_defaults(run=paint, parser=parser)


def paint(arguments: argparse.Namespace) -> int:
    """Paint, show how it goes, and say where the picture is."""
    settings = read_settings(arguments)
    from vqclip_nb.runs.founding import check_out
    from vqclip_nb.runs.reader import inputs_of
    from vqclip_nb.session import start

    check_out(settings.out)
    prepare(settings)
    inputs = inputs_of(Path(arguments.settings)) if arguments.settings else None
    return see_through(start(settings, inputs=inputs))


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for. Flags win over the preset, and that over the file."""
    values = presets.load(arguments.preset).settings if arguments.preset else {}
    flags = given(arguments)
    options = {name: flags.pop(name) for name in list(flags) if canvases.owners(name)}
    values = {**values, **flags}
    if options:
        values["canvas_options"] = {**values.get("canvas_options", {}), **options}
    if arguments.settings:
        from vqclip_nb.runs.metadata import load_settings
        from vqclip_nb.runs.reader import refuse_paths

        settings = load_settings(arguments.settings)
        if not arguments.settings.lower().endswith(".json"):  # a picture may be anybody's
            named = {name: value for name, value in settings.to_dict().items() if name not in values}
            refuse_paths([named], arguments.settings)
        return settings.replace(**values)
    if "prompt" not in values:
        values["prompt"] = ""  # refused by Settings, unless there are image prompts
    return Settings(**values)
