"""Write the reference of all settings and presets, docs/settings.md: `python tools/settings_reference.py --own`.

It is read off the same fields as the command line and the panel. --own leaves out the canvases and presets that other
installed packages add, as the published page does.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from vqclip_nb import canvases, plugins, presets
from vqclip_nb.fields import GROUPS, FieldSpec, fields

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
INTRODUCTION = """# Settings

Every setting, with its flag for the command line. In Python names are the same with underscores: `Settings(cutn=32)`.
*Live* settings can change while the picture is painted. `python tools/settings_reference.py --own` writes this page.
"""
HEADER = "| flag | what it does | allowed | default | live |\n|---|---|---|---|---|"


def reference(skipped: Iterable[str] = ()) -> str:
    """The page as Markdown, without the canvases and presets named in `skipped`."""
    hidden = set(skipped)
    return "\n".join([INTRODUCTION, *_settings(), *_canvases(hidden), *_presets(hidden)]) + "\n"


def _settings() -> Iterator[str]:
    for group in GROUPS:
        rows = [_row(field) for field in fields() if field.group == group and not field.owner]
        if rows:
            yield "\n".join([f"## {group}\n", HEADER, *rows, ""])


def _canvases(hidden: set[str]) -> Iterator[str]:
    yield "## Canvases and their options\n\nAn option belongs to its canvas: with another one it is an error.\n"
    for spec in canvases.specs():
        if spec.name in hidden:
            continue
        flag = f"--canvas {spec.name}" + ("/MODEL" if spec.model_kind else "")
        yield f"### {spec.name}\n\n{spec.title[:1].upper()}{spec.title[1:]}. Good at {spec.good_at}."
        yield f"`{flag}`; step size {spec.lr:g}.\n"
        if spec.fields:
            yield "\n".join([HEADER, *map(_row, spec.fields), ""])


def _presets(hidden: set[str]) -> Iterator[str]:
    yield "## Presets\n\n`--preset NAME` begins with these settings; flags given beside it win.\n"
    yield "| preset | what it is for | settings |\n|---|---|---|"
    for preset in presets.load_all():
        if preset.name not in hidden:
            values = ", ".join(f"`{name} = {_shown(value)}`" for name, value in preset.settings.items())
            purpose = f"**{preset.title}**: {_cell(preset.help)}"
            yield f"| `{preset.name}` | {purpose} | {_cell(values) or 'the defaults'} |"


def _row(field: FieldSpec) -> str:
    flag = f"`--{field.name.replace('_', '-')}`" if field.name != "prompt" else "the prompt itself"
    live = "yes" if field.live else ""
    purpose = f"**{field.title}**: {_cell(field.help)}"
    return f"| {flag} | {purpose} | {_cell(field.allowed)} | {_default(field)} | {live} |"


def _default(field: FieldSpec) -> str:
    return "" if field.default in (None, "", (), {}) else f"`{_cell(_shown(field.default))}`"


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--own", action="store_true", help="leave out what other installed packages add")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    chosen = parser.parse_args(arguments)
    others = [name for group in plugins.GROUPS for name in plugins.entry_points_of(group)] if chosen.own else []
    chosen.out.write_text(reference(others), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
