"""Settings in the words of the panel."""

from typing import Any

from vqclip_nb.fields import fields


def title(name: str) -> str:
    """The title of a field."""
    return next((field.title for field in fields() if field.name == name), name)


def setting_text(value: Any) -> str:
    """A value as text for the panel: `192 x 192`."""
    return " x ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def clock(seconds: float) -> str:
    """A duration: `2 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def file_size(count: int) -> str:
    """A number of bytes: `1.2 MB`."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 1):.0f} kB"


def shorten(text: str, most: int) -> str:
    """A text on one line, shortened to at most `most` letters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
