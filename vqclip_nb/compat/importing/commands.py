"""Commands: lines of a script that call generate.py, dream or imagine, parsed as the tools parse them."""

import argparse
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from vqclip_nb.compat import dream, generate, imagine
from vqclip_nb.compat.fire import rewrite
from vqclip_nb.compat.importing.documents import MOST_TEXT
from vqclip_nb.compat.importing.imported import Imported
from vqclip_nb.compat.options import Tool
from vqclip_nb.compat.plan import Plan
from vqclip_nb.errors import SettingsError

MOST = 100  # commands of a script
_CALL = re.compile(
    r"(?:^|.*[\s;&|(/\\])(?:generate\.py|vqclip\s+generate)\s+(?P<generate>.*)"
    r"|\s*(?:\$\s+)?(?:vqclip\s+)?(?P<fire>dream|imagine)\s+(?P<words>[\"'-].*)"
)
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+|set[ \t]+)?([A-Za-z_]\w*)=(.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)|\$[({]|%(\w+)%|`")
_END = set("();<>|&")


def read(text: str) -> list[Imported]:
    """The settings of each command in a text. Raises SettingsError, which names the line, for an invalid command."""
    joined = re.sub(r"[\\^`]\r?\n", " ", text)
    variables = dict(_ASSIGNED.findall(joined))
    results = []
    for number, line in enumerate(joined.splitlines(), 1):
        if len(line) > MOST_TEXT or line.lstrip().startswith(("#", "::", "rem ", "REM ")):
            continue
        if (match := _CALL.fullmatch(line)) is None:
            continue
        tool, plan = _TOOLS[match["fire"] or "generate"]
        try:
            words, missing = _filled(_words(match["generate"] or match["words"]), variables)
            arguments = tool(words)
            results.append(_imported(arguments, plan, missing))
        except SettingsError as error:
            raise SettingsError(f"line {number}: {error}") from None
        if len(results) == MOST:
            break
    return results


def _imported(arguments: Mapping[str, Any], plan: Callable[[Mapping[str, Any]], Plan], missing: list[str]) -> Imported:
    tool = generate.TOOL if plan is generate.plan else dream.TOOL if plan is dream.plan else imagine.TOOL
    filled = {name: value for name, value in arguments.items() if value != ""}  # which a shell would have filled
    for name in list(filled):
        option = tool.option(name)
        if option.fate == "refused":
            missing.append(f"{option.flag}: {option.here}")
            del filled[name]
    if missing and {"prompts", "text"} & arguments.keys() - filled.keys():
        raise SettingsError(
            f"only the shell knows its prompt; write the text in place of {missing[0].partition(':')[0]}"
        )
    tool_plan = plan(filled)
    settings = tool_plan.settings
    if tool_plan.noise:
        missing.append("--init_noise: `vqclip generate` with the same options makes the noise, and begins with it")
        settings = settings.replace(init_image=None)
    return Imported(tool.title, settings, tool_plan.preset, tuple(dict.fromkeys((*missing, *tool_plan.notes))))


def _words(text: str) -> list[str]:
    """The words of a command, up to the shell operator that ends it."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    try:
        for word in lexer:
            if set(word) <= _END:
                break
            words.append(word)
    except ValueError:
        raise SettingsError(f"a quote is never closed in {text[:60]!r}") from None
    return words


def _filled(words: Sequence[str], variables: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Words with the script's variables replaced, and a sentence for each variable that only a shell would know.

    variables: the values of assignments `name=value` in the script.
    """
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = next((group for group in match.groups() if group), "")
        with suppress(SettingsError):
            words_of_value = _words(variables.get(name, "")[:MOST_TEXT])[:1]
            if words_of_value and not _VARIABLE.search(words_of_value[0]):
                return words_of_value[0]
        missing.append(f"{match[0]}: only the shell that runs the script knows it; write it out")
        return ""

    return [_VARIABLE.sub(value, word) for word in words], missing


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def _of_generate(words: Sequence[str]) -> dict[str, Any]:
    parser = _Parser(add_help=False)
    generate.add_options(parser)
    options, extra = parser.parse_known_args(list(words))
    if extra:
        raise SettingsError(f"generate.py has no option {extra[0]!r}")
    return vars(options)


def _of_fire(tool: Tool) -> Callable[[Sequence[str]], dict[str, Any]]:
    def given(words: Sequence[str]) -> dict[str, Any]:
        values = {}
        for word in rewrite(words, tool.options, {}):
            name, equals, value = word.partition("=")
            if not equals:
                raise SettingsError(f"{tool.title} has no option {word!r}")
            values[tool.option(name).name] = value
        return values

    return given


_TOOLS: dict[str, tuple[Callable[[Sequence[str]], dict[str, Any]], Callable[..., Plan]]] = {
    "generate": (_of_generate, generate.plan),
    "dream": (_of_fire(dream.TOOL), dream.plan),
    "imagine": (_of_fire(imagine.TOOL), imagine.plan),
}
