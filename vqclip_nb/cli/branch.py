"""`vqclip branch`: from where a run stood, go another way."""

import argparse
from typing import Any

from vqclip_nb.cli._common import add_flag, explained, find, given, prepare, see_through
from vqclip_nb.fields import live_fields

PLACE = ("out", "device", "quiet")


def add(subparsers: Any) -> None:
    """Add the command, with a flag for each field that may change while painting."""
    parser = subparsers.add_parser(
        "branch",
        help="go another way from where a run stood: other words, another seed, one variation",
        description="Begin a new run from any step of another, which stays as it is.",
        epilog='for example: vqclip branch runs/20260722-101500-a-castle-0 "a castle in snow" --variation 2',
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder, or its name in runs/")
    parser.add_argument("prompt", nargs="?", default=argparse.SUPPRESS, help=explained("prompt"))
    parser.add_argument("--step", type=int, help="the step to begin at (default: the latest whose state is kept)")
    parser.add_argument("--variation", type=int, metavar="K", help="paint on the K-th picture of several alone")
    for name in PLACE:
        add_flag(parser, name)
    section = parser.add_argument_group("from here on")
    for name in sorted(live_fields() - {"prompt"} | {"canvas"}):
        add_flag(section, name)
    parser.set_defaults(run=branch, parser=parser)


def branch(arguments: argparse.Namespace) -> int:
    """Branch, and paint on."""
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.session import branch
    from vqclip_nb.timeline import Edit

    values = given(arguments)
    place = {name: values.pop(name) for name in PLACE if name in values}
    change = Edit(values, variation=arguments.variation)
    folder = find(arguments.folder)
    first = RunInfo.read(folder).settings.replace(**place)
    prepare(first)
    if "canvas" in values:
        prepare(first.replace(canvas=values["canvas"]))
    return see_through(branch(folder, change, step=arguments.step, run_options=place))
