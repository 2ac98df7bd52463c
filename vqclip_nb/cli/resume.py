"""`vqclip resume`: go on with a run as if nothing had happened, or from an earlier state of it."""

import argparse
from typing import Any

from vqclip_nb.cli._common import add_flag, find, given, prepare, see_through
from vqclip_nb.cli._copies import see_copied
from vqclip_nb.fields import live_fields

PLACE = ("device", "quiet")


def add(subparsers: Any) -> None:
    """Add the command, with a flag for each field that may change while painting."""
    parser = subparsers.add_parser(
        "resume",
        help="go on with a run that was stopped, killed or finished",
        description="Go on with a run where its last state was kept. Options change it from there on.",
        epilog="for example: vqclip resume runs/20260722-101500-a-castle-0 --steps 300",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder, or its name in runs/")
    parser.add_argument("--step", type=int, help="undo: go back to this step, whose state is kept, and on from there")
    for name in PLACE:
        add_flag(parser, name)
    section = parser.add_argument_group("from here on")
    for name in sorted(live_fields() | {"canvas"}):
        add_flag(section, name)
    parser.set_defaults(run=resume, parser=parser)


def resume(arguments: argparse.Namespace) -> int:
    """Take the run up, change what was asked for, and paint on."""
    from vqclip_nb.compat import places
    from vqclip_nb.compat.copies import Copies
    from vqclip_nb.runs.loss_log import LossLog
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.session import resume
    from vqclip_nb.timeline import Edit

    values = given(arguments)
    place = {name: values.pop(name) for name in PLACE if name in values}
    folder = find(arguments.folder)
    story = RunInfo.read(folder)
    first = story.settings.replace(**place)
    prepare(first)
    if "canvas" in values:
        prepare(first.replace(canvas=values["canvas"]))
    outputs = places.kept(story)
    active = resume(folder, step=arguments.step, change=Edit(values), run_options=place)
    if outputs is None:
        return see_through(active)
    painting, losses = active.painting, LossLog.read(folder / "losses.csv", active.painting.step_count)
    return see_copied(active, Copies(outputs, painting.settings, lambda: active.record.about(painting), losses))
