"""Command lines as Google's Fire parses them, which Big Sleep and Deep Daze use.

Options and positionals are the function's arguments: `--save_progress`, `--save-progress=True`, `--nosave_progress`,
`-i 200` where one argument alone begins with i, and the text first, without an option.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from vqclip_nb.compat.options import Option
from vqclip_nb.errors import SettingsError

_OPTION = re.compile(r"--?[A-Za-z]")


def rewrite(words: Sequence[str], options: Sequence[Option], own: Mapping[str, bool]) -> list[str]:
    """Rewrite a command's words to `--name=value`. Unknown words stay, as do the options of `own` and their values.

    own: for each of this package's options, whether it takes a value. Raises SettingsError for a text without quotes.
    """
    rest, result, names = list(words), [], set[str]()
    loose: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            loose += rest
            break
        if not _OPTION.match(word) or re.search(r"\s", word.partition("=")[0]):
            loose.append(word)
            continue
        name, equals, value = word.partition("=")
        option, negated = _find_option(name.lstrip("-").replace("-", "_"), options)
        if option is None or name.lstrip("-") in own:
            result.append(word)
            if own.get(name.lstrip("-")) and not equals and rest:
                result.append(rest.pop(0))
            continue
        if not equals:
            value = _value(option, rest, negated)
        result.append(f"--{option.name}={value}")
        names.add(option.name)
    if "text" not in names and len(loose) > 2 and not Path(loose[1]).suffix:  # the second would be a picture
        raise SettingsError(f"a text of several words needs quotes: {shlex.quote(' '.join(loose))}")
    positional = [option for option in options if option.name not in names]
    for index, word in enumerate(loose):
        result.append(f"--{positional[index].name}={word}" if index < len(positional) else word)
    return result


def _find_option(name: str, options: Sequence[Option]) -> tuple[Option | None, bool]:
    """The option with this name, and whether the name negates it."""
    by_name = {option.name: option for option in options}
    if name in by_name:
        return by_name[name], False
    if len(name) == 1:
        near = [option for option in options if option.name.startswith(name)]
        return (near[0] if len(near) == 1 else None), False
    if name.startswith("no") and (option := by_name.get(name.removeprefix("no"))) and option.kind == "switch":
        return option, True
    return None, False


def _value(option: Option, rest: list[str], negated: bool) -> str:
    """The value of an option without `=`: the next word. A switch takes it only if it means yes or no."""
    follows = bool(rest) and not _OPTION.match(rest[0])
    if option.kind == "switch":
        takes = follows and not negated and rest[0].lower() in ("true", "false", "0", "1", "yes", "no")
        return rest.pop(0) if takes else str(not negated)
    return rest.pop(0) if follows else ""
