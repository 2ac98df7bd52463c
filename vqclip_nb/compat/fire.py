"""Words as Google's Fire reads them, with which Big Sleep and Deep Daze were called.

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


def rewritten(words: Sequence[str], options: Sequence[Option], own: Mapping[str, bool]) -> list[str]:
    """The same words as `--name=value` alone. What is not known stays; so do the options of `own`, with their values.

    own: whether an option takes a value, by name. Raises SettingsError for a text that lacks its quotes.
    """
    left, result, named = list(words), [], set[str]()
    loose: list[str] = []
    while left:
        word = left.pop(0)
        if word == "--":
            loose += left
            break
        if not _OPTION.match(word) or re.search(r"\s", word.partition("=")[0]):
            loose.append(word)
            continue
        typed, equals, value = word.partition("=")
        option, negated = _named(typed.lstrip("-").replace("-", "_"), options)
        if option is None or typed.lstrip("-") in own:
            result.append(word)
            if own.get(typed.lstrip("-")) and not equals and left:
                result.append(left.pop(0))
            continue
        if not equals:
            value = _value(option, left, negated)
        result.append(f"--{option.name}={value}")
        named.add(option.name)
    if "text" not in named and len(loose) > 2 and not Path(loose[1]).suffix:  # the second would be a picture
        raise SettingsError(f"a text of several words needs quotes: {shlex.quote(' '.join(loose))}")
    places = [option for option in options if option.name not in named]
    for index, word in enumerate(loose):
        result.append(f"--{places[index].name}={word}" if index < len(places) else word)
    return result


def _named(name: str, options: Sequence[Option]) -> tuple[Option | None, bool]:
    """The option of a name, and whether the name says no to it."""
    by_name = {option.name: option for option in options}
    if name in by_name:
        return by_name[name], False
    if len(name) == 1:
        near = [option for option in options if option.name.startswith(name)]
        return (near[0] if len(near) == 1 else None), False
    if name.startswith("no") and (option := by_name.get(name.removeprefix("no"))) and option.kind == "switch":
        return option, True
    return None, False


def _value(option: Option, left: list[str], negated: bool) -> str:
    """The value of an option without `=`: the next word, but of a switch only one that says yes or no."""
    follows = bool(left) and not _OPTION.match(left[0])
    if option.kind == "switch":
        takes = follows and not negated and left[0].lower() in ("true", "false", "0", "1", "yes", "no")
        return left.pop(0) if takes else str(not negated)
    return left.pop(0) if follows else ""
