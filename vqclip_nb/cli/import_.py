"""`vqclip import`: old work of other tools, as settings that `vqclip paint --settings` takes."""

import argparse
from pathlib import Path
from typing import Any

from vqclip_nb.cli._paint_line import paint_line
from vqclip_nb.cli._shell import command
from vqclip_nb.escapes import visible
from vqclip_nb.paths import expanded


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "import",
        help="read old work of other tools as settings",
        description="Read a script with commands of generate.py, dream or imagine, a PNG of pixray, rkhamilton, "
        "nerdyrodent or the 2021 notebook, a settings file of pixray, rkhamilton, pytti, Disco Diffusion or DiscoArt, "
        "or a notebook with the fields of one of these. Writes settings, and says what could not be carried.",
        epilog="for example: vqclip import pixray.png && vqclip paint --settings pixray.settings.json",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the script, picture, settings file or notebook")
    parser.add_argument("--out", metavar="FILE", help="the settings to write (default: FILE.settings.json)")
    parser.add_argument("--overwrite", action="store_true", help="write over settings that are there")
    parser.set_defaults(run=import_, parser=parser)


def import_(arguments: argparse.Namespace) -> int:
    """Read the file, write the settings, and say what was lost and how they are painted."""
    from vqclip_nb.compat.importing import read
    from vqclip_nb.safe_files import write

    source = expanded(arguments.file)
    found = read(source)
    places = _places(arguments, source, len(found))
    for imported, place in zip(found, places, strict=True):
        write(place, imported.settings.to_json().encode())
        print(f"Read as a recipe of {imported.tool}: {visible(imported.settings.prompt) or 'pictures alone'}")
        for sentence in imported.lost:
            print(f"  not carried: {visible(sentence)}")
        print(f"  the same: {paint_line(imported.settings, imported.preset)}")
        print(f"Written: {visible(place)}; `{command('vqclip', 'paint', '--settings', place)}` paints it")
    return 0


def _places(arguments: argparse.Namespace, source: Path, count: int) -> list[Path]:
    """Where the settings go: one file, or numbered ones. Raises SettingsError where something is there already."""
    from vqclip_nb.errors import SettingsError

    first = expanded(arguments.out or f"{source.stem}.settings.json")
    if first.suffix.lower() != ".json":
        raise SettingsError(f"out must end in .json, got {str(first)!r}")
    if not first.absolute().parent.is_dir():
        raise SettingsError(f"out must be in a folder that is there, got {str(first)!r}")
    stem = first.name[: -len(".json")]
    numbered = [first.with_name(f"{stem}-{number}.json") for number in range(1, count + 1)]
    places = numbered if count > 1 else [first]
    if there := [place for place in places if place.exists() and not arguments.overwrite]:
        raise SettingsError(f"{str(there[0])!r} is there already; add --overwrite, or name another with --out")
    return places
