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

from vqclip_nb.cli._output import FILM_FAILED, tolerant, warn
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

MAKES_FILES = ("paint", "resume", "branch", "replay", "film", "sweep")  # whose output is not what is wanted of them


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the option that was probably meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {visible(message)} (`{self.prog} --help` explains)\n")

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

    0 when all was made, 2 for what the person can put right, 3 when a film failed and the pictures are there, 1 when a
    painting broke off or an output that is all there is could not be written, 130 after an interrupt.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = next((word for word in arguments if word in COMMANDS), None)
    if "OMP_WAIT_POLICY" not in os.environ:
        # Read by OpenMP when torch is loaded. Its threads then wait 0.03 ms for their next work before they sleep, not
        # 8 ms: NNPACK, the keeper and other programs want the processor in between.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with warnings.catch_warnings(), tolerant() as out:
        from vqclip_nb.errors import FilmError, PaintWarning

        warnings.simplefilter("always", PaintWarning)
        warnings.showwarning = lambda message, *rest, **more: warn(message, over_bar=True)
        try:
            status = _run(parser(command), arguments)
        except FilmError as error:
            warn(error)
            status = FILM_FAILED
        except (ValueError, OSError, ImportError) as error:
            warn(error)
            status = 2
        except KeyboardInterrupt:
            warn("stopped; nothing was painted yet")
            status = 130
    return 1 if out.lost and status == 0 and command not in MAKES_FILES else status


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
