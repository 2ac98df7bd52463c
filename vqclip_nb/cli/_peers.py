"""What `generate`, `dream` and `imagine` share: options from the tables of the tools, and the run with its copies."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from vqclip_nb.cli._common import prepare, see_through
from vqclip_nb.cli._paint_line import paint_line
from vqclip_nb.cli._shell import command
from vqclip_nb.compat.options import Option, Tool
from vqclip_nb.compat.plan import Plan

OWN = {  # options that the tools do not have
    "demo": "paint with the models that come with the package, which know few words and need no download",
    "quiet": "no progress bar",
}


def add_own(parser: argparse.ArgumentParser) -> None:
    """Add what these commands have besides the tool's own options."""
    section = parser.add_argument_group("of vqclip")
    for name, said in OWN.items():
        section.add_argument(f"--{name}", action="store_true", help=said)


def remember(parser: Any, rewrite: Callable[[Sequence[str]], list[str]] = list) -> None:
    """Let a parser rewrite its words, and keep them, as `words`, as they were typed."""

    def kept(words: Sequence[str]) -> list[str]:
        parser.set_defaults(words=list(words))
        return rewrite(words)

    parser.rewrite = kept


def help_of(option: Option) -> str:
    """What an option is here."""
    default = "" if option.default in (None, "", (), False) else f" (default: {option.default})"
    fate = {"moot": "changes nothing here: ", "refused": "cannot be had here: "}.get(option.fate, "")
    return f"{fate}{option.here}{default}".replace("%", "%%").replace("`", "")


def given(arguments: argparse.Namespace, tool: Tool) -> dict[str, Any]:
    """The tool's options that the arguments name."""
    names = {option.name for option in tool.options}
    return {name: value for name, value in vars(arguments).items() if name in names}


def paint(plan: Plan, arguments: argparse.Namespace) -> int:
    """Paint what a plan says, on the loop of all commands, and write the tool's files."""
    from vqclip_nb.compat.copies import Copies, Duration, check, kept
    from vqclip_nb.models import CannotFetch
    from vqclip_nb.runs.founding import check_out
    from vqclip_nb.session import start

    plan = plan.on_demo() if arguments.demo else plan
    settings = plan.settings.replace(quiet=arguments.quiet)
    check(plan.outputs)
    check_out(settings.out)
    for note in plan.notes:
        print(f"vqclip: {note}", file=sys.stderr)
    if not arguments.quiet:
        place = ["--device", settings.device] if settings.device != "auto" else []
        print(
            f"The same: {paint_line(settings, plan.preset, *place, '--out', str(plan.outputs.picture))}",
            file=sys.stderr,
        )
    try:
        prepare(settings)
    except CannotFetch as error:
        demo = command("vqclip", arguments.parser.prog.split()[-1], "--demo", *arguments.words)
        raise CannotFetch(f"{error}; `{demo}` paints at once, with the models of the package") from None
    active = start(settings)
    copies, duration = Copies(plan.outputs, settings), Duration(settings.steps, plan.length)

    def watch(frame: Any) -> None:
        copies.add(frame)
        if (said := duration.add(frame.step)) and not arguments.quiet:
            print(f"\r{said}", file=sys.stderr)

    status = see_through(active, watch=watch)
    if (result := active.record.folder / "result.png").is_file():
        print(f"Written: {kept([*copies.written, *copies.finish(result)])}", file=sys.stderr)
    return status
