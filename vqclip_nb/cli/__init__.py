"""The command line: `vqclip COMMAND`. Each command is a module here, imported only when it is the one asked for.

A command's module has `add(subparsers)`, which adds its parser and sets `run=function`; the function takes the parsed
arguments and returns the exit status.
"""

import argparse
import difflib
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from vqclip_nb.cli._streams import lenient_streams
from vqclip_nb.escapes import visible

COMMANDS = {
    "paint": "paint a picture from a sentence",
    "resume": "go on with a run that was stopped, killed or finished",
    "branch": "go another way from where a run stood: other words, another seed, one variation",
    "replay": "paint a run again, from its settings and the changes made",
    "sweep": "paint many pictures: lists of prompts, seeds and settings",
    "film": "make a film of a run: mp4, gif or webp",
    "runs": "list the runs as a tree, with their sizes on the disk, and delete some",
    "info": "show how a picture was painted, and the command that paints it again",
    "models": "list the models, and get larger ones",
    "doctor": "say what this machine can do, and what is wrong",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the option that was probably meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` explains)\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but an option that does not exist brings the nearest one that does."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = getattr(known, "parser", self)._option_string_actions
            word = unknown[0].partition("=")[0]
            near = difflib.get_close_matches(word, options, 1)
            kind = "option" if word.startswith("-") else "argument"
            self.error(f"there is no {kind} {unknown[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        return known


def parser(command: str | None) -> Parser:
    """The parser, with the options of `command` alone; of the others only what they are for."""
    main = Parser(prog="vqclip", description="Paint a picture from a sentence.", allow_abbrev=False)
    main.add_argument("--version", action="store_true", help="show the version and leave")
    subparsers = main.add_subparsers(title="commands", metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        if name == command:
            import_module(f"{__name__}.{name}").add(subparsers)
        else:
            subparsers.add_parser(name, help=purpose)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status.

    0: done, also where nobody reads the output any more. 1: it could not be done to its end. 2: something that the
    person can put right, said in one line. 3: all is there but the film. 130: interrupted.
    """
    with lenient_streams() as (out, _):
        status = _main(arguments)
        out.flush()
        if out.error is not None:
            print(f"vqclip: the output could not be written: {out.error.strerror}", file=sys.stderr)
            status = status or 1
    return status


def _main(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = next((word for word in arguments if word in COMMANDS), None)
    if "OMP_WAIT_POLICY" not in os.environ:
        # Read by OpenMP when torch is loaded. Its threads then wait 0.03 ms for their next work before they sleep, not
        # 8 ms: NNPACK, the keeper and other programs want the processor in between.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with warnings.catch_warnings():
        from vqclip_nb.errors import FilmError, PaintWarning

        warnings.simplefilter("always", PaintWarning)
        warnings.showwarning = _show_warning
        try:
            return _run(parser(command), arguments)
        except (ValueError, OSError, ImportError) as error:
            print(f"vqclip: {visible(' '.join(str(error).split()))}", file=sys.stderr)
            return 3 if isinstance(error, FilmError) else 2
        except KeyboardInterrupt:
            print("vqclip: stopped; nothing was painted yet", file=sys.stderr)
            return 130


def _run(main: Parser, arguments: Sequence[str]) -> int:
    chosen = main.parse_args(arguments)
    if chosen.version:
        from vqclip_nb import __version__

        print(__version__)
        return 0
    if not hasattr(chosen, "run"):
        main.print_help()
        return 2
    return int(chosen.run(chosen))


def _show_warning(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
    """A warning as one clean line."""
    print(f"\rvqclip: {visible(' '.join(str(message).split()))}", file=sys.stderr)
