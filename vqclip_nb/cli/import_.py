"""`vqclip import`: converts files of other tools to settings for `vqclip paint --settings`."""

import argparse
from pathlib import Path
from typing import Any

from vqclip_nb.cli._paint_line import paint_line
from vqclip_nb.cli._shell import command
from vqclip_nb.escapes import visible
from vqclip_nb.paths import expand_home


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "import",
        help="convert commands, pictures, settings files and notebooks of other tools to settings",
        description="Read a script with commands of generate.py, dream or imagine, a PNG of pixray, rkhamilton, "
        "nerdyrodent or the 2021 notebook, a settings file of pixray, rkhamilton, pytti, Disco Diffusion or DiscoArt, "
        "or a notebook with the fields of one of these. Writes settings, and lists what could not be converted.",
        epilog="for example: vqclip import pixray.png && vqclip paint --settings pixray.settings.json",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the script, picture, settings file or notebook")
    parser.add_argument("--out", metavar="FILE", help="the settings file to write (default: FILE.settings.json)")
    parser.add_argument("--overwrite", action="store_true", help="overwrite an existing settings file")
    parser.set_defaults(run=import_, parser=parser)


def import_(arguments: argparse.Namespace) -> int:
    """Read the file, write the settings, and print what could not be converted and the command that paints them."""
    from vqclip_nb.compat.importing import read
    from vqclip_nb.safe_files import write

    source = expand_home(arguments.file)
    results = read(source)
    paths = _output_paths(arguments, source, len(results))
    for result, path in zip(results, paths, strict=True):
        write(path, result.settings.to_json().encode())
        print(f"Read as settings of {result.tool}: {visible(result.settings.prompt) or 'only image prompts'}")
        for sentence in result.lost:
            print(f"  not converted: {visible(sentence)}")
        print(f"  equivalent command: {paint_line(result.settings, result.preset)}")
        print(f"Written: {visible(path)}; `{command('vqclip', 'paint', '--settings', path)}` paints it")
    return 0


def _output_paths(arguments: argparse.Namespace, source: Path, count: int) -> list[Path]:
    """The paths of the settings files, numbered if there are several. Raises SettingsError if one exists."""
    from vqclip_nb.errors import SettingsError

    first = expand_home(arguments.out or f"{source.stem}.settings.json")
    if first.suffix.lower() != ".json":
        raise SettingsError(f"out must end in .json, got {str(first)!r}")
    if not first.absolute().parent.is_dir():
        raise SettingsError(f"out must be in an existing folder, got {str(first)!r}")
    stem = first.name[: -len(".json")]
    numbered = [first.with_name(f"{stem}-{number}.json") for number in range(1, count + 1)]
    paths = numbered if count > 1 else [first]
    if existing := [path for path in paths if path.exists() and not arguments.overwrite]:
        raise SettingsError(f"{str(existing[0])!r} exists already; add --overwrite, or choose another file with --out")
    return paths
