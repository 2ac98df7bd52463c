"""Shared by `generate`, `dream` and `imagine`: options from the tables of the tools, and the run with its copies."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vqclip_nb.cli._addresses import fetch_inputs
from vqclip_nb.cli._common import add_flag, prepare
from vqclip_nb.cli._copies import see_copied
from vqclip_nb.cli._paint_line import paint_line
from vqclip_nb.cli._shell import command
from vqclip_nb.compat.fire import rewrite
from vqclip_nb.compat.options import Tool
from vqclip_nb.compat.plan import Plan
from vqclip_nb.errors import SettingsError
from vqclip_nb.escapes import visible

OWN = {  # options that the tools do not have
    "demo": "paint the prompt with the models inside the package, which know few words, and their default settings",
    "quiet": "no progress bar",
}


def add_own(parser: argparse.ArgumentParser, *, device: bool = False) -> dict[str, bool]:
    """Add the options of vqclip to a tool's own; returns by name whether each takes a value."""
    section = parser.add_argument_group("of vqclip")
    for name, text in OWN.items():
        section.add_argument(f"--{name}", action="store_true", help=text)
    if device:
        add_flag(section, "device")
    return dict.fromkeys(OWN, False) | ({"device": True} if device else {})


def add_fire(subparsers: Any, tool: Tool, run: Callable[[argparse.Namespace], int], example: str) -> None:
    """Add the command of a tool that uses Google's Fire."""
    parser = subparsers.add_parser(
        tool.command,
        help=f"{tool.title}'s {tool.command}, with the same options",
        description=f"Paint with the options of {tool.title}'s `{tool.command}`. The picture is written where that "
        "tool writes it, and the run is kept in a folder too. The published models are downloaded on first use.",
        epilog=f"for example: {example}",
        usage=f"vqclip {tool.command} TEXT [options]",
        allow_abbrev=False,
    )
    parser.explain = lambda word: None
    for option in tool.options:
        parser.add_argument(option.flag, metavar=option.kind.upper(), default=argparse.SUPPRESS, help=option.help)
    own = add_own(parser, device=True)
    remember(parser, lambda words: rewrite(words, tool.options, own))
    parser.set_defaults(run=run, parser=parser)


def remember(parser: Any, rewrite: Callable[[Sequence[str]], list[str]] = list) -> None:
    """Let a parser rewrite its arguments, and store them as typed in `words`."""

    def rewrite_and_keep(words: Sequence[str]) -> list[str]:
        parser.set_defaults(words=list(words))
        return rewrite(words)

    parser.rewrite = rewrite_and_keep


def options_from(arguments: argparse.Namespace, tool: Tool) -> dict[str, Any]:
    """The tool's options in the arguments."""
    names = {option.name for option in tool.options}
    return {name: value for name, value in vars(arguments).items() if name in names}


def paint(plan: Plan, arguments: argparse.Namespace) -> int:
    """Paint a plan, and write the tool's files."""
    from vqclip_nb.compat import saved_outputs
    from vqclip_nb.compat.copies import Copies, Duration, check
    from vqclip_nb.compat.noise import write_noise
    from vqclip_nb.models import CannotFetch
    from vqclip_nb.runs.creation import check_out
    from vqclip_nb.session import start

    plan = plan.on_demo() if arguments.demo else plan
    run_options: dict[str, Any] = {"device": arguments.device} if "device" in arguments else {}
    settings = plan.settings.replace(quiet=arguments.quiet, **run_options)
    check(plan.outputs)
    if plan.asks_to_overwrite and not _may_overwrite(plan.outputs.picture):
        print("vqclip: nothing was painted, and nothing was overwritten", file=sys.stderr)
        return 0
    check_out(settings.out)
    for note in plan.notes:
        print(f"vqclip: {note}", file=sys.stderr)
    if not arguments.quiet:
        options = ["--device", settings.device] if settings.device != "auto" else []
        options += ["--every", str(settings.every)] if settings.every > 1 else []
        line = paint_line(settings, plan.preset, *options, "--out", str(plan.outputs.picture))
        print(f"The same: {line}", file=sys.stderr)
    try:
        prepare(settings)
    except CannotFetch as error:
        demo = command("vqclip", arguments.parser.prog.split()[-1], "--demo", *arguments.words)
        raise CannotFetch(f"{error}; `{demo}` paints at once, with the models of the package") from None
    if plan.noise:
        write_noise(Path(str(settings.init_image)), plan.noise, settings.size, settings.seed)
    with fetch_inputs(settings) as here:
        active = start(here)
    saved_outputs.save(plan.outputs, active.record.folder)
    copies = Copies(plan.outputs, settings, lambda: active.record.about(active.painting))
    duration = Duration(settings.steps, plan.length)
    if duration.first_message and not arguments.quiet:
        print(duration.first_message, file=sys.stderr)

    def watch(frame: Any) -> None:
        if (message := duration.add(frame.step)) and not arguments.quiet:
            print(f"\r{message}", file=sys.stderr)

    return see_copied(active, copies, watch)


def _may_overwrite(picture: Path) -> bool:
    """Whether the picture may be written: it does not exist, or the user agrees.

    Raises SettingsError without a user.
    """
    if not picture.exists():
        return True
    try:
        return input(f"{visible(picture)} is there already; overwrite it? (y/n) ").strip().lower() in ("y", "yes")
    except EOFError:
        raise SettingsError(f"{str(picture)!r} is there already; add --overwrite, or move it away") from None
