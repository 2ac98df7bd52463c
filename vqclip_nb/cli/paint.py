"""`vqclip paint`: paints a picture; its flags are the fields of Settings."""

import argparse
import sys
from pathlib import Path
from typing import Any

from vqclip_nb import canvases, embedded, presets
from vqclip_nb.cli._addresses import fetch_inputs
from vqclip_nb.cli._common import add_flag, explain, paint_to_end, prepare, settings_from
from vqclip_nb.cli._copies import paint_with_copies
from vqclip_nb.errors import SettingsError
from vqclip_nb.escapes import visible
from vqclip_nb.fields import GROUPS, fields
from vqclip_nb.paths import expand_home
from vqclip_nb.settings import Settings
from vqclip_nb.stop import Stop

# File formats that --out cannot write; without this check they would become names of folders.
UNSUPPORTED = (".gif", ".bmp", ".tif", ".tiff", ".avif", ".mp4", ".mov", ".webm")


def add(subparsers: Any) -> None:
    """Add the command, with a flag for each field of Settings."""
    parser = subparsers.add_parser(
        "paint",
        help="paint a picture from a sentence",
        description="Paint a picture from a sentence. Writes a folder with the picture, its settings and its film; "
        "Ctrl-C ends it and keeps the picture so far.",
        epilog='for example: vqclip paint "a red house by the sea at sunset | fog:-0.3" --size 320 256 --seed 7',
        allow_abbrev=False,
    )
    parser.add_argument("prompt", nargs="?", default=argparse.SUPPRESS, help=explain("prompt"))
    for heading in GROUPS:
        section = parser.add_argument_group(heading)
        names = dict.fromkeys(field.name for field in fields() if field.group == heading and field.name != "prompt")
        for name in names:
            add_flag(section, name)
        if heading == "What":
            section.add_argument(
                "--preset", metavar="NAME", help="start from the settings of a preset: " + ", ".join(presets.names())
            )
            section.add_argument("--prompts", metavar="FILE", help="paint each line of this file as a prompt")
            section.add_argument(
                "--settings", metavar="FILE", help="start from the settings in this JSON file or picture"
            )
    parser.set_defaults(run=paint, parser=parser)


def paint(arguments: argparse.Namespace) -> int:
    """Paint with a progress bar, and print the path of the picture."""
    picture = _picture_path(arguments)
    if arguments.prompts:
        return _paint_each(arguments)
    settings = read_settings(arguments)
    from vqclip_nb.compat import saved_outputs
    from vqclip_nb.compat.copies import Copies
    from vqclip_nb.compat.plan import Outputs
    from vqclip_nb.runs.creation import check_out
    from vqclip_nb.runs.metadata import input_pictures
    from vqclip_nb.runs.reader import inputs_of
    from vqclip_nb.session import start

    check_out(settings.out)
    prepare(settings)
    inputs = inputs_of(Path(arguments.settings)) if arguments.settings else None
    with fetch_inputs(settings, input_pictures(settings_from(arguments))) as local_settings:
        active = start(local_settings, inputs=inputs)
    if not picture:
        return paint_to_end(active)
    saved_outputs.save(outputs := Outputs(picture), active.record.folder)
    return paint_with_copies(active, Copies(outputs, settings, lambda: active.record.about(active.painting)))


def _picture_path(arguments: argparse.Namespace) -> Path | None:
    """The path in `--out picture.png`, or None if --out is a folder.

    With a path, `out` is removed from the arguments, so that the run's folder is in the default folder.
    """
    out = expand_home(getattr(arguments, "out", ""))
    if out.suffix.lower() in UNSUPPORTED and not out.is_dir():
        kinds = ", ".join(embedded.FORMATS)
        raise SettingsError(
            f"out must be a folder, or a picture that ends in {kinds}, got {arguments.out!r}; "
            "`vqclip film RUN --to FILE` makes an mp4, a gif or a webp of a run"
        )
    if out.suffix.lower() not in embedded.FORMATS or out.is_dir():
        return None
    if arguments.prompts:
        raise SettingsError(f"with --prompts, out must be a folder, got {arguments.out!r}")
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"out must be in an existing folder, got {arguments.out!r}")
    del arguments.out
    return out


def _paint_each(arguments: argparse.Namespace) -> int:
    """Paint each line of a file, with the models loaded once. Returns the highest exit status."""
    from vqclip_nb.models.shared import keep_loaded
    from vqclip_nb.runs.creation import check_out
    from vqclip_nb.session import start

    if "prompt" in vars(arguments):
        raise SettingsError("a prompt and --prompts FILE cannot be combined; leave one out")
    jobs = []
    for number, line in _lines(arguments.prompts):
        try:
            jobs.append(read_settings(argparse.Namespace(**{**vars(arguments), "prompt": line})))
        except SettingsError as error:
            raise SettingsError(f"line {number} of {arguments.prompts}: {error}") from None
    check_out(jobs[0].out)
    prepare(jobs[0])
    status = 0
    with Stop() as stop, keep_loaded():
        for number, settings in enumerate(jobs, 1):
            if not settings.quiet:
                print(f"{number} of {len(jobs)}: {visible(settings.prompt)}", file=sys.stderr)
            status = max(status, paint_to_end(start(settings), stop))
            if stop.count:
                break
    return status


def _lines(name: str) -> list[tuple[int, str]]:
    """The prompts in a file, each with its line number; blank lines and lines that begin with # are skipped."""
    try:
        text = expand_home(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"prompts must be a text file in UTF-8, one prompt a line, got {name!r}") from None
    except OSError as error:
        raise SettingsError(f"prompts must be a text file, one prompt a line, got {name!r}: {error.strerror}") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    if not (prompts := [(number, line) for number, line in lines if line and not line.startswith("#")]):
        raise SettingsError(f"prompts must be a text file, one prompt a line, got {name!r}, which has no prompts")
    return prompts


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The settings in the arguments. Flags override the preset, and the preset overrides the file of --settings."""
    flags = settings_from(arguments)
    values = dict(presets.load(arguments.preset).settings) if arguments.preset else {}
    if "canvas" in flags:
        values = canvases.suiting(values, canvases.canonical_name(flags["canvas"]))
    options = {name: flags.pop(name) for name in list(flags) if canvases.owners(name)}
    values = {**values, **flags}
    if options:
        values["canvas_options"] = {**values.get("canvas_options", {}), **options}
    if arguments.settings:
        from vqclip_nb.runs.metadata import load_settings
        from vqclip_nb.runs.reader import refuse_paths

        settings = load_settings(arguments.settings)
        if not arguments.settings.lower().endswith(".json"):  # a picture may come from anybody
            stored = {name: value for name, value in settings.to_dict().items() if name not in values}
            refuse_paths([stored], arguments.settings)
        return settings.replace(**values)
    if "prompt" not in values:
        values["prompt"] = ""  # an error in Settings, unless there are image prompts
    return Settings(**values)
