"""`vqclip resume`: continue a run, from its latest or an earlier state."""

import argparse
from typing import Any

from vqclip_nb.cli._common import add_flag, find_run, paint_to_end, prepare, settings_from
from vqclip_nb.cli._copies import paint_with_copies
from vqclip_nb.fields import live_fields

RUN_OPTIONS = ("device", "quiet")


def add(subparsers: Any) -> None:
    """Add the command, with a flag for each field that may change during a run."""
    parser = subparsers.add_parser(
        "resume",
        help="continue a run that was stopped, killed or finished",
        description="Continue a run from its last saved state. Settings in the command change from there on.",
        epilog="for example: vqclip resume runs/20260722-101500-a-castle-0 --steps 300",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder, or its name in runs/")
    parser.add_argument(
        "--step", type=int, help="go back: continue from this earlier step, which must have a saved state"
    )
    for name in RUN_OPTIONS:
        add_flag(parser, name)
    section = parser.add_argument_group("settings to change from that step on")
    for name in sorted(live_fields() | {"canvas"}):
        add_flag(section, name)
    parser.set_defaults(run=resume, parser=parser)


def resume(arguments: argparse.Namespace) -> int:
    """Resume the run, change settings, and paint."""
    from vqclip_nb.compat import saved_outputs
    from vqclip_nb.compat.copies import Copies
    from vqclip_nb.runs.loss_log import LossLog
    from vqclip_nb.runs.reader import RunInfo
    from vqclip_nb.session import resume
    from vqclip_nb.timeline import Edit

    values = settings_from(arguments)
    run_options = {name: values.pop(name) for name in RUN_OPTIONS if name in values}
    folder = find_run(arguments.folder)
    info = RunInfo.read(folder)
    settings = info.settings.replace(**run_options)
    prepare(settings)
    if "canvas" in values:
        prepare(settings.replace(canvas=values["canvas"]))
    outputs = saved_outputs.load(info)
    active = resume(folder, step=arguments.step, change=Edit(values), run_options=run_options)
    if outputs is None:
        return paint_to_end(active)
    painting, losses = active.painting, LossLog.read(folder / "losses.csv", active.painting.step_count)
    return paint_with_copies(active, Copies(outputs, painting.settings, lambda: active.record.about(painting), losses))
