"""The command line: `vqclip COMMAND`. Each command is a module here, imported only when it is used.

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

from vqclip_nb.cli._old_options import CONFLICTS, old_option
from vqclip_nb.cli._shell import command
from vqclip_nb.cli._streams import lenient_streams
from vqclip_nb.escapes import visible

COMMANDS = {
    "paint": "paint a picture from a sentence",
    "resume": "continue a run that was stopped, killed or finished",
    "branch": "start a new run from a step of another one, with other words, another seed, or one variation",
    "replay": "paint a run again, from its settings and its edits",
    "animate": "paint a film of scenes, with a camera, or repaint a video",
    "sweep": "paint many pictures: lists of prompts, seeds and settings",
    "serve": "let several people ask for pictures, in the browser or over HTTP",
    "bot": "paint what people ask for on Discord, by `.imagine` and `/imagine`",
    "generate": "nerdyrodent's generate.py, with the same options; writes output.png",
    "dream": "Big Sleep's dream, with the same options; writes a picture named after its text",
    "imagine": "Deep Daze's imagine, with the same options; writes a picture named after its text",
    "imagine-prompts": "write prompts like the examples",
    "import": "convert commands, pictures, settings files and notebooks of other tools to settings",
    "blend": "make a film that morphs from one painted picture to the next",
    "film": "make a film of a run: mp4, gif or webp",
    "render": "render a run's picture at a larger size (siren and fourier)",
    "runs": "list runs as a tree, with their sizes on the disk, and delete some",
    "info": "show how a picture was painted, and the command that paints it again",
    "models": "list models; get, check, remove or add one",
    "doctor": "show what this machine has and what is missing",
}


class Parser(argparse.ArgumentParser):
    """Reports errors in one line, with the option that was probably meant.

    rewrite: converts the arguments as typed to those that the options accept. explain: returns a hint for an unknown
    option, or None.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rewrite: Callable[[Sequence[str]], list[str]] = expand_size
        self.explain: Callable[[str], str | None] = old_option

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Like argparse, after `rewrite`; in names of options `_` is accepted for `-`."""
        words = None if args is None else [self._with_dashes(word) for word in self.rewrite(args)]
        return super().parse_known_args(words, namespace)

    def _with_dashes(self, word: str) -> str:
        """Replace `_` by `-` in the name of an option, if the parser has that option; other words are unchanged."""
        name, equals, value = word.partition("=")
        with_dashes, options = name.replace("_", "-"), self._option_string_actions
        is_misspelled = name.startswith("--") and name not in options and with_dashes in options
        return f"{with_dashes}{equals}{value}" if is_misspelled and name not in CONFLICTS else word

    def error(self, message: str) -> NoReturn:
        if match := re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose from", message, re.DOTALL):
            matches = difflib.get_close_matches(match[1], COMMANDS, 1)
            suggestion = f"vqclip {matches[0]}" if matches else command("vqclip", "paint", match[1])
            message = f"there is no command {match[1]!r}; did you mean `{suggestion}`?"
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` explains)\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Like argparse, but the error for an unknown option suggests the closest one."""
        arguments, extra = self.parse_known_args(args, namespace)
        if extra:
            subparser = getattr(arguments, "parser", self)
            options = subparser._option_string_actions
            word = extra[0].partition("=")[0]
            if _is_setting(word) and subparser.prog != "vqclip paint":
                self.error(f"there is no option {word!r} of `{subparser.prog}`; `vqclip paint` has it")
            if word.startswith("-") and (explanation := subparser.explain(word)) is not None:
                self.error(f"there is no option {word!r}; {explanation}")
            matches = difflib.get_close_matches(word, options, 1)
            kind = "option" if word.startswith("-") else "argument"
            hint = f"; did you mean {matches[0]}?" if matches else ""
            if kind == "argument" and "--image-prompts" in (args or ()):
                hint = f"; for several pictures repeat the option: --image-prompts {shlex.quote(word)}"
            elif kind == "argument" and (leading_words := _words_before_prompt(subparser.prog)) is not None:
                words = [getattr(arguments, "prompts" if leading_words else "prompt", None) or "", *extra]
                text = " ".join(word for word in words if word and not word.startswith("-"))
                hint = f"; put what to paint in quotes: `{command(*subparser.prog.split(), *leading_words, text)}`"
            self.error(f"there is no {kind} {extra[0]!r}{hint}")
        return arguments


def _is_setting(word: str) -> bool:
    """Whether a word is an option of `vqclip paint` for a setting."""
    from vqclip_nb.settings import Settings

    return word.startswith("--") and word[2:].replace("-", "_") in Settings.model_fields


def _words_before_prompt(command: str) -> list[str] | None:
    """The words between a command and its prompt, or None if it takes no prompt."""
    return {"vqclip paint": [], "vqclip generate": ["-p"]}.get(command)


def expand_size(arguments: Sequence[str]) -> list[str]:
    """Expand `--size 64` to `--size 64 64`, and `--size 64x48` to `--size 64 48`."""
    words: list[str] = []
    queue = list(arguments)
    while queue:
        words.append(word := queue.pop(0))
        if word == "--":
            return words + queue
        if word == "--size" and queue:
            if match := re.fullmatch(r"(\d+)[x×](\d+)", queue[0]):
                words, queue = [*words, match[1], match[2]], queue[1:]
            elif queue[0].isdecimal() and not (len(queue) > 1 and re.fullmatch(r"[-+]?[\d.]+|nan", queue[1])):
                queue.insert(0, queue[0])
    return words


def parser(command: str | None) -> Parser:
    """Build the parser. Only `command` gets its options; of the others, just the line of help is shown."""
    main = Parser(prog="vqclip", description="Paint a picture from a sentence.", allow_abbrev=False)
    main.add_argument("--version", action="store_true", help="show the version and exit")
    subparsers = main.add_subparsers(title="commands", metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        if name == command:
            module = name.replace("-", "_") + "_" * keyword.iskeyword(name)  # import_.py
            import_module(f"{__name__}.{module}").add(subparsers)
        else:
            subparsers.add_parser(name, help=purpose)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status.

    0: success, also when the output goes to a closed pipe. 1: not completed. 2: an error that the user can fix, in one
    line. 3: everything was written except the film. 130: interrupted.
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
    name = next((word for word in arguments if word in COMMANDS), None)
    if "OMP_WAIT_POLICY" not in os.environ:
        # Read by OpenMP when torch is loaded: its idle threads spin for 0.03 ms instead of 8 ms, which leaves the
        # processor to NNPACK, to the background writer and to other programs.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with warnings.catch_warnings():
        from vqclip_nb.errors import FilmError, PaintWarning

        warnings.simplefilter("always", PaintWarning)
        warnings.showwarning = _show_warning
        try:
            return _run(parser(name), arguments)
        except (ValueError, OSError, ImportError) as error:
            print(f"vqclip: {visible(' '.join(str(error).split()))}", file=sys.stderr)
            return 3 if isinstance(error, FilmError) else 2
        except KeyboardInterrupt:
            print("vqclip: stopped; nothing was painted yet", file=sys.stderr)
            return 130


def _run(main: Parser, arguments: Sequence[str]) -> int:
    options = main.parse_args(arguments)
    if options.version:
        from vqclip_nb import __version__

        print(__version__)
        return 0
    if not hasattr(options, "run"):
        main.print_help()
        return 2
    return int(options.run(options))


def _show_warning(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
    """Print a warning as one line."""
    print(f"\rvqclip: {visible(' '.join(str(message).split()))}", file=sys.stderr)
