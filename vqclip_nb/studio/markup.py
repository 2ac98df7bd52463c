"""The Studio's HTML. Only this module makes HTML, and it escapes all text from users and files."""

import base64
import html
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from vqclip_nb.escapes import visible

HINT = "Ctrl+Enter starts. While it paints, what is not grey can be changed."


def escape(text: str, *, quote: bool = False) -> str:
    """Text as HTML. Control characters, which could reverse or hide words, are shown as escapes, except line breaks."""
    return html.escape("\n".join(map(visible, text.split("\n"))), quote=quote)


@cache
def style() -> str:
    """The style sheet. Its handler loads the scripts for the keyboard and for drawing (studio.js, where.js)."""
    folder = resources.files(__package__)
    css, *scripts = ((folder / name).read_text(encoding="utf-8") for name in ("studio.css", "studio.js", "where.js"))
    script = "".join(scripts)
    return f'<style onload="{html.escape(script, quote=True)}">{css}</style>'


def messages(entries: Sequence[tuple[str, str, str]]) -> str:
    """The messages of the strip, each (kind, text, details): the first on one line, all of them when it is opened.

    Their technical details are folded away below.
    """
    if not entries:
        return f'<div class="vq-line vq-hint">{HINT}</div>'
    kind, text, _ = entries[0]
    role = "alert" if kind == "trouble" else "status"
    count = f' <span class="vq-more">+{len(entries) - 1} more</span>' if len(entries) > 1 else ""
    rest = "".join(f'<p class="vq-{other}">{escape(line)}</p>' for other, line, _ in entries[1:])
    details = "".join(f"<pre>{escape(more)}</pre>" for *_, more in entries if more)
    rest += f"<details><summary>Technical details</summary>{details}</details>" if details else ""
    return (
        f'<details class="vq-line vq-{kind}"><summary role="{role}" title="{escape(text, quote=True)}">{escape(text)}'
        f'{count}</summary><div class="vq-fold"><p>{escape(text)}</p>{rest}</div></details>'
    )


def label(text: str, help: str) -> str:
    """The title of a control, with its help as a tooltip."""
    return f'<span title="{escape(help, quote=True)}">{escape(text)}</span>'


def heading(text: str) -> str:
    """The heading of a group of fields."""
    return f'<div class="vq-heading">{escape(text)}</div>'


def heading_inline(text: str, about: str) -> str:
    """A heading, followed by a remark."""
    return f'<b>{escape(text)}</b> <span class="vq-small">{escape(about)}</span>'


def field_error(text: str) -> str:
    """The error of the field above."""
    return f'<div class="vq-field-error" role="alert">{escape(text)}</div>'


def small(text: str) -> str:
    """A line of small text."""
    return f'<div class="vq-small">{escape(text)}</div>'


def caption(text: str, about: str = "") -> str:
    """The caption of the picture: its run."""
    more = f' <span class="vq-small">{escape(about)}</span>' if about else ""
    return f'<div class="vq-caption">{escape(text)}{more}</div>'


def status(text: str) -> str:
    """The line below the bar. Screen readers skip it, because it changes too often."""
    return f'<div class="vq-status">{escape(text)}</div>'


def empty(text: str) -> str:
    """The placeholder of the picture."""
    return f'<div class="vq-empty">{escape(text)}</div>'


def placeholder(text: str) -> str:
    """The placeholder of the thumbnail of a run without a picture."""
    return f'<div class="vq-no-picture">{escape(text)}</div>'


def code(text: str) -> str:
    """Code with a button that copies it."""
    copy = "navigator.clipboard.writeText(this.nextElementSibling.innerText); this.innerText = 'Copied'"
    return f'<button class="vq-copy" title="Copy this code" onclick="{copy}">Copy</button><pre>{escape(text)}</pre>'


def versus(pictures: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], same: int) -> str:
    """Two pictures, by their URLs, under one slider, and a table of the settings that differ."""
    move = "this.parentNode.style.setProperty('--vq-at', this.value + '%')"
    left, right = (f'<img src="{escape(each, quote=True)}" alt="">' for each in pictures)
    cells = "".join(f"<tr>{''.join(f'<td>{escape(each)}</td>' for each in row)}</tr>" for row in rows)
    head = f"<tr><th></th>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>"
    table = f'<table class="vq-differing">{head}{cells}</table>' if rows else ""
    sentence = f"{same} settings are the same" if rows else "All settings are the same"
    return (
        f'<div class="vq-versus">{left}<div class="vq-over">{right}</div><input type="range" min="0" max="100" '
        f'value="50" aria-label="Where the second picture begins" oninput="{move}"></div>{table}{small(sentence)}'
    )


def tint(address: str, size: Sequence[int]) -> str:
    """The marked area over a picture of this width and height; where.js makes it a canvas to draw on."""
    width, height = size
    style = f"aspect-ratio: {width} / {height}; background: url({address}) 0 0 / 100% 100%"
    return f'<div class="vq-tint" title="What is marked" data-size="{width} {height}" style="{style}"></div>'


@cache
def tools() -> str:
    """The drawing tools of where.js, hidden in a front end that does not run it."""
    kinds = {"brush": "Mark with a brush", "rectangle": "Mark a rectangle", "eraser": "Mark no longer"}
    buttons = "".join(
        f'<button data-tool="{name}" aria-pressed="{pressed}" title="{text}">{name.title()}</button>'
        for (name, text), pressed in zip(kinds.items(), ("true", "false", "false"), strict=True)
    )
    return (
        f'<div class="vq-tools">{buttons}<input type="range" min="1" max="50" value="12" aria-label="Width of the '
        'brush" title="Width of brush and eraser"><button name="undo" title="Undo the last stroke">Undo</button>'
        '<button name="clear" title="Mark nothing">Clear</button></div>'
    )


def relative_path(path: Path) -> str:
    """A path relative to the working directory, if it is below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def link(path: Path, text: str) -> str:
    """A download link that contains the file itself."""
    data = base64.b64encode(path.read_bytes()).decode()
    name = escape(path.name, quote=True)
    return (
        f'<a class="vq-link" download="{name}" title="Save {name}" '
        f'href="data:application/octet-stream;base64,{data}">{escape(text)}</a>'
    )


def link_to(address: str, text: str) -> str:
    """A download link to the URL of a file that is too large for the page."""
    return f'<a class="vq-link" href="{escape(address, quote=True)}" download>{escape(text)}</a>'


def beat(count: int) -> str:
    """The number of clicks that the kernel has received, for studio.js, and the message to show if it receives none."""
    return (
        f'<div class="vq-beat" data-beat="{count}">The kernel has not answered. If another cell is running, wait for '
        "it; else run this cell again: a run that goes on is found.</div>"
    )
