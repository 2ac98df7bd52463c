"""Shared by `generate`, `dream` and `imagine`: the options of the other tools, and painting with their output files."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vqclip_nb.cli._addresses import fetch_inputs
from vqclip_nb.cli._common import add_flag, prepare
from vqclip_nb.cli._copies import paint_with_copies
from vqclip_nb.cli._paint_line import paint_line
from vqclip_nb.cli._shell import command
from vqclip_nb.compat.fire import rewrite
from vqclip_nb.compat.options import Tool
from vqclip_nb.compat.plan import Plan
from vqclip_nb.errors import SettingsError
from vqclip_nb.escapes import visible

VQCLIP_OPTIONS = {  # options that the other tools do not have
    "demo": "use the demo models, which need no download but know few words, with their default settings",
    "quiet": "no progress bar",
}


def add_vqclip_options(parser: argparse.ArgumentParser, *, device: bool = False) -> dict[str, bool]:
    """Add options that only vqclip has. Returns a dictionary: whether each option takes a value, by name."""
    section = parser.add_argument_group("options of vqclip")
    for name, text in VQCLIP_OPTIONS.items():
        section.add_argument(f"--{name}", action="store_true", help=text)
    if device:
        add_flag(section, "device")
    return dict.fromkeys(VQCLIP_OPTIONS, False) | ({"device": True} if device else {})


def add_fire(subparsers: Any, tool: Tool, run: Callable[[argparse.Namespace], int], example: str) -> None:
    """Add the command of a tool whose command line is made by Google's Fire."""
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
    vqclip_options = add_vqclip_options(parser, device=True)
    store_words(parser, lambda words: rewrite(words, tool.options, vqclip_options))
    parser.set_defaults(run=run, parser=parser)


def store_words(parser: Any, rewrite: Callable[[Sequence[str]], list[str]] = list) -> None:
    """Make a parser store its arguments, as typed, in `words`; `rewrite` converts them before they are parsed."""

    def store_and_rewrite(words: Sequence[str]) -> list[str]:
        parser.set_defaults(words=list(words))
        return rewrite(words)

    parser.rewrite = store_and_rewrite


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
        print(f"Equivalent command: {line}", file=sys.stderr)
    try:
        prepare(settings)
    except CannotFetch as error:
        demo = command("vqclip", arguments.parser.prog.split()[-1], "--demo", *arguments.words)
        raise CannotFetch(f"{error}; `{demo}` needs no download: it uses the demo models") from None
    if plan.noise:
        write_noise(Path(str(settings.init_image)), plan.noise, settings.size, settings.seed)
    with fetch_inputs(settings) as local_settings:
        active = start(local_settings)
    saved_outputs.save(plan.outputs, active.record.folder)
    copies = Copies(plan.outputs, settings, lambda: active.record.about(active.painting))
    duration = Duration(settings.steps, plan.length)
    if duration.first_message and not arguments.quiet:
        print(duration.first_message, file=sys.stderr)

    def watch(frame: Any) -> None:
        if (message := duration.add(frame.step)) and not arguments.quiet:
            print(f"\r{message}", file=sys.stderr)

    return paint_with_copies(active, copies, watch)


def _may_overwrite(picture: Path) -> bool:
    """Whether the picture may be written: it does not exist, or the user agrees to overwrite it.

    Raises SettingsError if it exists and there is no terminal to ask in.
    """
    if not picture.exists():
        return True
    try:
        return input(f"{visible(picture)} exists already; overwrite it? (y/n) ").strip().lower() in ("y", "yes")
    except EOFError:
        raise SettingsError(f"{str(picture)!r} exists already; add --overwrite, or move it away") from None
