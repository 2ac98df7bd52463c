"""`vqclip info`: how a picture was painted, and the command that paints it again."""

import argparse
import json
import shlex
from typing import Any

from vqclip_nb.settings import Settings


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "info",
        help="show how a picture was painted",
        description="Show the settings inside a picture.",
        allow_abbrev=False,
    )
    parser.add_argument("file", help="a PNG painted by vqclip")
    parser.set_defaults(run=info, parser=parser)


def info(arguments: argparse.Namespace) -> int:
    """Print what the picture says about itself."""
    from vqclip_nb.provenance import read

    description = read(arguments.file)
    settings = Settings(**description["settings"])
    print(json.dumps(description, indent=2, ensure_ascii=False))
    print(command(settings))
    return 0


def command(settings: Settings) -> str:
    """The shell command that paints with these settings: the prompt, and what is not the default."""
    words = ["vqclip", "paint", settings.prompt]
    for name, value in settings.recipe().items():
        if name == "prompt" or value == Settings.model_fields[name].default or value in ([], None):
            continue
        values = value if isinstance(value, list) else [value]
        if name != "size" or tuple(value) != Settings.model_fields["size"].default:
            words += ["--" + name.replace("_", "-"), *map(str, values)]
    return shlex.join(words)
