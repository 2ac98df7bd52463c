"""Reports of a sweep: a contact sheet with labels, an HTML page and a table, made from the runs' folders."""

import base64
import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from vqclip_nb.images import BROKEN
from vqclip_nb.sweeps.items import Item, varied_settings
from vqclip_nb.sweeps.results import Result

CELL, MARGIN, LINE = 192, 12, 17  # pixels
MOST_CELLS = 400  # of a contact sheet
_INK, _FAINT, _PAPER = "#1b1b1b", "#767676", "white"


def write_reports(results: Sequence[Result], out: Path, scores: Mapping[str, float] | None = None) -> None:
    """Write contact.png, index.html and results.csv into `out`. scores: a judge's distances, by the item's name."""
    _replace(out / "contact.png", _png(contact_sheet(results)))
    _replace(out / "index.html", page(results, scores or {}).encode())
    _replace(out / "results.csv", table(results, scores or {}).encode())


def contact_sheet(results: Sequence[Result], axes: tuple[str, str] | None = None) -> Image.Image:
    """The pictures side by side, with their differing settings as labels; a grid if two settings were crossed.

    axes: the settings of the rows and of the columns; None chooses them.
    """
    axes = axes or grid_axes([result.item for result in results])
    return _grid(results, *axes) if axes else _flow(results[:MOST_CELLS])


def grid_axes(items: Sequence[Item]) -> tuple[str, str] | None:
    """The two settings that were crossed, the one with more values first; None if the items are not a full grid."""
    names = varied_settings(items)
    if len(names) != 2 or len(items) > MOST_CELLS:
        return None
    values = [{str(item.differs.get(name)) for item in items} for name in names]
    if len(values[0]) * len(values[1]) != len(items):
        return None
    first, second = sorted(names, key=lambda name: -len(values[names.index(name)]))
    return (first, second) if first == "prompt" or second != "prompt" else (second, first)


def _grid(results: Sequence[Result], down: str, across: str) -> Image.Image:
    """One row for each value of `down`, one column for each of `across`."""
    rows, columns = ([*dict.fromkeys(str(r.item.differs[name]) for r in results)] for name in (down, across))
    font, left = _font(13), 200
    size = (left + len(columns) * (CELL + MARGIN) + MARGIN, 2 * MARGIN + LINE + len(rows) * (CELL + MARGIN))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, value in enumerate(columns):
        text = value if across == "prompt" else f"{across} {value}"
        draw.text((left + index * (CELL + MARGIN), MARGIN), _truncate(text, font, CELL), _INK, font)
    for index, value in enumerate(rows):
        text = value if down == "prompt" else f"{down} {value}"
        top = 2 * MARGIN + LINE + index * (CELL + MARGIN)
        for number, line in enumerate(_wrap(text, font, left - 2 * MARGIN, CELL // LINE)):
            draw.text((MARGIN, top + number * LINE), line, _INK, font)
    for result in results:
        row, column = (names.index(str(result.item.differs[name])) for names, name in ((rows, down), (columns, across)))
        at = (left + column * (CELL + MARGIN), 2 * MARGIN + LINE + row * (CELL + MARGIN))
        _paste(sheet, draw, result, at)
    return sheet


def _flow(results: Sequence[Result]) -> Image.Image:
    """All pictures in rows, each with its label below."""
    columns = min(max(round(len(results) ** 0.5 * 1.3), 1), 8)
    rows, font, label = -(-len(results) // columns), _font(12), 3 * LINE
    size = (MARGIN + columns * (CELL + MARGIN), MARGIN + rows * (CELL + label + MARGIN))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, result in enumerate(results):
        left = MARGIN + index % columns * (CELL + MARGIN)
        top = MARGIN + index // columns * (CELL + label + MARGIN)
        _paste(sheet, draw, result, (left, top))
        for number, line in enumerate(_wrap(result.item.label or result.item.name, font, CELL, 3)):
            draw.text((left, top + CELL + 3 + number * LINE), line, _INK, font)
    return sheet


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, result: Result, at: tuple[int, int]) -> None:
    left, top = at
    if (thumbnail := _thumbnail(result, CELL)) is not None:
        sheet.paste(thumbnail, (left + (CELL - thumbnail.width) // 2, top + (CELL - thumbnail.height) // 2))
        return
    draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=_FAINT)
    draw.text((left + MARGIN, top + CELL // 2 - LINE), result.state, _FAINT, _font(13))


def page(results: Sequence[Result], scores: Mapping[str, float]) -> str:
    """One HTML file: each picture beside its settings, sortable by any of them. It loads nothing from other sites."""
    names = varied_settings([result.item for result in results])
    cards = []
    for result in results:
        values: dict[str, Any] = {name: result.item.settings.value(name) for name in names if name != "preset"}
        values |= {"loss": round(sum(result.losses.values()), 4)} if result.losses else {}
        values |= {"score": round(scores[result.item.name], 4)} if result.item.name in scores else {}
        values |= {"seconds": round(result.seconds, 1), "state": result.state}
        values |= {"error": result.error} if result.error else {}
        cards.append({"name": result.item.name, "image": _data_url(result), "values": values})
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    content = json.dumps(cards, ensure_ascii=False).replace("<", "\\u003c")
    return template.replace("{{count}}", escape(str(len(cards)))).replace("{{cards}}", content)


def table(results: Sequence[Result], scores: Mapping[str, float]) -> str:
    """The text of results.csv: a row for each item with its settings, losses, seconds and score."""
    names = [name for name in varied_settings([result.item for result in results]) if name != "preset"]
    losses = [*dict.fromkeys(name for result in results for name in result.losses)]
    file = io.StringIO()
    writer = csv.writer(file)
    score_column = ["score"] if scores else []
    writer.writerow(["name", "state", *names, "seconds", *score_column, *(f"loss {name}" for name in losses), "error"])
    for result in results:
        values = [result.item.settings.value(name) for name in names]
        score = [scores.get(result.item.name, "")] if scores else []
        numbers = [result.losses.get(name, "") for name in losses]
        writer.writerow(
            [result.item.name, result.state, *values, round(result.seconds, 2), *score, *numbers, result.error]
        )
    return file.getvalue()


def _thumbnail(result: Result, side: int) -> Image.Image | None:
    try:
        with Image.open(result.picture) as pil:
            small = pil.convert("RGB")
    except BROKEN:
        return None
    scale = side / max(small.size)
    size = tuple(max(1, round(length * scale)) for length in small.size)
    return small.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _data_url(result: Result) -> str:
    """A picture as a data URL, or an empty string without one."""
    thumbnail = _thumbnail(result, 2 * CELL)
    if thumbnail is None:
        return ""
    file = io.BytesIO()
    thumbnail.save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _png(pil: Image.Image) -> bytes:
    file = io.BytesIO()
    pil.save(file, "PNG")
    return file.getvalue()


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    os.replace(partial, path)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _wrap(text: str, font: Any, width: int, most: int) -> list[str]:
    """A text in at most `most` lines of at most `width` pixels; an ellipsis shows where it was cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    visible_lines = lines[:most]
    if len(lines) > most:
        visible_lines[-1] += " …"
    return [_truncate(line, font, width) for line in visible_lines]


def _truncate(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
