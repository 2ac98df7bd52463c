"""The command line: `vqclip COMMAND`. Each command is a module here, imported only when it is the one asked for.

A command's module has `add(subparsers)`, which adds its parser and sets `run=function`; the function takes the parsed
arguments and returns the exit status.
"""

import argparse
import difflib
import keyword
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from vqclip_nb.cli._old_options import OTHERWISE, old_option
from vqclip_nb.cli._shell import command
from vqclip_nb.cli._streams import lenient_streams
from vqclip_nb.escapes import visible

COMMANDS = {
    "paint": "paint a picture from a sentence",
    "resume": "go on with a run that was stopped, killed or finished",
    "branch": "go another way from where a run stood: other words, another seed, one variation",
    "replay": "paint a run again, from its settings and the changes made",
    "animate": "paint a film of scenes, with a camera, or repaint a video",
    "sweep": "paint many pictures: lists of prompts, seeds and settings",
    "serve": "let several people ask for pictures, in the browser or over HTTP",
    "bot": "paint what people ask for on Discord, by `.imagine` and `/imagine`",
    "generate": "as nerdyrodent's generate.py: the same options, and output.png",
    "dream": "as Big Sleep's dream: the same options, and a picture named by its text",
    "imagine": "as Deep Daze's imagine: the same options, and a picture named by its text",
    "imagine-prompts": "write more prompts like a few examples",
    "import": "read old work of other tools as settings: commands, pictures, settings files, notebooks",
    "blend": "make a film of the way from one painted picture to the next",
    "film": "make a film of a run: mp4, gif or webp",
    "render": "render a run's picture at a larger size (siren and fourier)",
    "runs": "list the runs as a tree, with their sizes on the disk, and delete some",
    "info": "show how a picture was painted, and the command that paints it again",
    "models": "list the models, and get larger ones",
    "doctor": "say what this machine can do, and what is wrong",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the option that was probably meant.

    rewrite: what makes the words that a person typed into those that the options want. explain: what to say of an
    option that is not one of these, or None.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rewrite: Callable[[Sequence[str]], list[str]] = squares
        self.explain: Callable[[str], str | None] = old_option

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, of words that are rewritten first; `_` in an option's name is as good as `-`."""
        words = None if args is None else [self._dashed(word) for word in self.rewrite(args)]
        return super().parse_known_args(words, namespace)

    def _dashed(self, word: str) -> str:
        name, equals, value = word.partition("=")
        dashed = name.replace("_", "-")
        same = name.startswith("--") and name not in OTHERWISE and dashed in self._option_string_actions
        return f"{dashed}{equals}{value}" if same and name not in self._option_string_actions else word

    def error(self, message: str) -> NoReturn:
        if match := re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose from", message, re.DOTALL):
            near = difflib.get_close_matches(match[1], COMMANDS, 1)
            meant = f"vqclip {near[0]}" if near else command("vqclip", "paint", match[1])
            message = f"there is no command {match[1]!r}; did you mean `{meant}`?"
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` explains)\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but an option that does not exist brings the nearest one that does."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            chosen = getattr(known, "parser", self)
            options = chosen._option_string_actions
            word = unknown[0].partition("=")[0]
            if word.startswith("-") and (said := chosen.explain(word)) is not None:
                self.error(f"there is no option {word!r}; {said}")
            near = difflib.get_close_matches(word, options, 1)
            kind = "option" if word.startswith("-") else "argument"
            hint = f"; did you mean {near[0]}?" if near else ""
            if kind == "argument" and "--image-prompts" in (args or ()):
                hint = f"; for several pictures repeat the option: --image-prompts {shlex.quote(word)}"
            elif kind == "argument" and (before := _prompts(chosen.prog)) is not None:
                words = [getattr(known, "prompts" if before else "prompt", None) or "", *unknown]
                text = " ".join(word for word in words if word and not word.startswith("-"))
                hint = f"; put what to paint in quotes: `{command(*chosen.prog.split(), *before, text)}`"
            self.error(f"there is no {kind} {unknown[0]!r}{hint}")
        return known


def _prompts(command: str) -> list[str] | None:
    """What stands before the prompt of a command, or None where it takes no prompt."""
    return {"vqclip paint": [], "vqclip generate": ["-p"]}.get(command)


def squares(arguments: Sequence[str]) -> list[str]:
    """Arguments with `--size 64` as `--size 64 64`, and `--size 64x48` as `--size 64 48`."""
    words: list[str] = []
    rest = list(arguments)
    while rest:
        words.append(word := rest.pop(0))
        if word == "--":
            return words + rest
        if word == "--size" and rest:
            if match := re.fullmatch(r"(\d+)[x×](\d+)", rest[0]):
                words, rest = [*words, match[1], match[2]], rest[1:]
            elif rest[0].isdecimal() and not (len(rest) > 1 and re.fullmatch(r"[-+]?[\d.]+|nan", rest[1])):
                rest.insert(0, rest[0])
    return words


def parser(asked: str | None) -> Parser:
    """The parser, with the options of the command asked for alone; of the others only what they are for."""
    main = Parser(prog="vqclip", description="Paint a picture from a sentence.", allow_abbrev=False)
    main.add_argument("--version", action="store_true", help="show the version and exit")
    subparsers = main.add_subparsers(title="commands", metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        if name == asked:
            module = name.replace("-", "_") + "_" * keyword.iskeyword(name)  # import_.py
            import_module(f"{__name__}.{module}").add(subparsers)
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
    asked = next((word for word in arguments if word in COMMANDS), None)
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
            return _run(parser(asked), arguments)
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
