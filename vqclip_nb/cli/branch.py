"""`vqclip branch`: start a new run from a step of another one."""

import argparse
from typing import Any

from vqclip_nb.cli._common import add_flag, explain, find_run, paint_to_end, prepare, settings_from
from vqclip_nb.fields import live_fields

RUN_OPTIONS = ("out", "device", "quiet")


def add(subparsers: Any) -> None:
    """Add the command, with a flag for each field that may change during a run."""
    parser = subparsers.add_parser(
        "branch",
        help="start a new run from a step of another one, with other words, another seed, or one variation",
        description="Start a new run from any step of another run. The other run stays unchanged.",
        epilog='for example: vqclip branch runs/20260722-101500-a-castle-0 "a castle in snow" --variation 2',
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder, or its name in runs/")
    parser.add_argument("prompt", nargs="?", default=argparse.SUPPRESS, help=explain("prompt"))
    parser.add_argument("--step", type=int, help="the step to start from (default: the latest saved state)")
    parser.add_argument("--variation", type=int, metavar="K", help="continue only the K-th of several pictures")
    for name in RUN_OPTIONS:
        add_flag(parser, name)
    section = parser.add_argument_group("settings to change from that step on")
    for name in sorted(live_fields() - {"prompt"} | {"canvas"}):
        add_flag(section, name)
    parser.set_defaults(run=branch, parser=parser)


def branch(arguments: argparse.Namespace) -> int:
    """Start the new run, and paint."""
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.session import branch
    from vqclip_nb.timeline import Edit

    values = settings_from(arguments)
    run_options = {name: values.pop(name) for name in RUN_OPTIONS if name in values}
    change = Edit(values, variation=arguments.variation)
    folder = find_run(arguments.folder)
    settings = RunInfo.read(folder).settings.replace(**run_options)
    prepare(settings)
    if "canvas" in values:
        prepare(settings.replace(canvas=values["canvas"]))
    return paint_to_end(branch(folder, change, step=arguments.step, run_options=run_options))
