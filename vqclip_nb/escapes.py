"""Escapes: makes text from files safe to show. Control characters act on a terminal, and some marks hide words."""

import re

_ACTIVE = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: cursor, colours, title, line breaks
    r"\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, or turn the direction
    r"\ud800-\udfff]"  # halves of a letter, which no encoding can write
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: object) -> str:
    r"""A text in one line, with every control character replaced by its escape: `\n`, `\u001b`, `\u202e`.

    The escapes are those of JSON, so that JSON text stays valid. The joiners of emoji and of Persian are kept.
    """
    return _ACTIVE.sub(lambda match: _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}", str(text))


def is_active(text: str) -> bool:
    """Whether `visible` would change a text."""
    return _ACTIVE.search(text) is not None
