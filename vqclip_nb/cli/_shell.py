"""Shell commands for messages: each is one line that can be pasted."""

import shlex
from collections.abc import Iterable

from vqclip_nb.escapes import is_active


def command(*words: object, operands: Iterable[object] = ()) -> str:
    """A command of these words, quoted for the shell.

    operands: the last arguments, such as a prompt or a file; `--` is put before them if one looks like an option.
    """
    last = [str(word) for word in operands]
    dashes = ["--"] if any(word.startswith("-") for word in last) else []
    return " ".join(quote(word) for word in (*words, *dashes, *last))


def quote(word: object) -> str:
    r"""Quote a word for a shell. Control characters are written as `$'...\012...'`, so that it stays on one line.

    bash, zsh and ksh read that form; dash does not.
    """
    text = str(word)
    return f"$'{''.join(map(_escape, text))}'" if is_active(text) else shlex.quote(text)


def _escape(letter: str) -> str:
    if is_active(letter):
        return "".join(f"\\{byte:03o}" for byte in letter.encode("utf-8", "surrogateescape"))
    return f"\\{letter}" if letter in "\\'" else letter
