"""`vqclip paint`: the flags are read off Settings, the picture and its film are written into a folder."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from vqclip_nb.settings import GROUPS, Settings, allowed, group

PLACES = {"image_prompts": "FILE", "init_image": "FILE", "out": "FOLDER", "canvas": "NAME", "perceptor": "NAME"}
MANY: dict[str, dict[str, Any]] = {
    "image_prompts": {"action": "append"},  # once for each picture, so that it never swallows the prompt
    "size": {"nargs": 2, "metavar": ("W", "H")},
}


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
    parser.add_argument("prompt", nargs="?", default=argparse.SUPPRESS, help=_help("prompt"))
    for heading in GROUPS:
        section = parser.add_argument_group(heading)
        for name in (name for name in Settings.model_fields if group(name) == heading and name != "prompt"):
            section.add_argument("--" + name.replace("_", "-"), default=argparse.SUPPRESS, **_flag(name))
        if heading == "What":
            section.add_argument("--settings", metavar="FILE", help="begin with the settings in this JSON or PNG file")
    parser.set_defaults(run=paint, parser=parser)


def paint(arguments: argparse.Namespace) -> int:
    """Paint, show how it goes, and say where the picture is."""
    settings = read_settings(arguments)
    from vqclip_nb.runs import Run, check_out

    check_out(settings.out)
    from tqdm import tqdm

    from vqclip_nb.errors import NotANumber
    from vqclip_nb.painting import run
    from vqclip_nb.session import begin

    inputs = Path(arguments.settings).parent / "inputs" if arguments.settings else None
    painting = begin(settings, inputs=inputs)
    record = Run.create(settings, inputs=inputs)
    ending = None
    with _Stop() as stop, tqdm(total=settings.steps, unit="step", disable=settings.quiet, dynamic_ncols=True) as bar:
        try:
            for frame in run(painting):
                record.add(frame)
                if not settings.quiet and frame.image is not None:
                    bar.set_postfix(loss=f"{frame.loss:.3f}", refresh=False)
                bar.update()
                if stop.heard:
                    ending = f"stopped at step {frame.step} of {frame.steps}"
                    break
        except NotANumber as error:
            ending = f"stopped: {error}"

    result = record.finish(painting)
    if ending:
        print(f"vqclip: {ending}; the picture so far is kept", file=sys.stderr)
    print(result if settings.quiet else f"Painted: {result}")
    return 0 if ending is None or stop.heard else 1


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for; an empty or missing prompt is an error."""
    values = {name: value for name, value in vars(arguments).items() if name in Settings.model_fields}
    if arguments.settings:
        return _from_file(arguments.settings).but(**values)
    if "prompt" not in values:
        values["prompt"] = ""  # said by Settings, unless there are image prompts
    return Settings(**values)


def _from_file(path: str) -> Settings:
    if path.lower().endswith(".json"):
        with open(path, "rb") as file:
            return Settings.from_json(file.read())
    return Settings.from_image(path)


def _flag(name: str) -> dict[str, Any]:
    """How argparse is to read a field. Values stay text: Settings checks them, and says what is wrong."""
    default = Settings.model_fields[name].default
    if isinstance(default, bool):
        return {"action": argparse.BooleanOptionalAction, "help": _help(name)}
    return {"metavar": PLACES.get(name, name.upper()), "help": _help(name)} | MANY.get(name, {})


def _help(name: str) -> str:
    """A field's help, with what is allowed and the default."""
    field = Settings.model_fields[name]
    default = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    limits = allowed(name)
    told = "" if limits.startswith(("a text", "true", "a list")) else f"; {limits}"
    shown = "" if default in (None, "", True, False) or name == "prompt" else f" (default: {default})"
    return f"{field.description}{told}{shown}".replace("%", "%%")


class _Stop:
    """Ctrl-C, heard between steps, so that no step is left half done; a second one interrupts at once."""

    heard = False

    def __enter__(self) -> "_Stop":
        self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _hear(self, number: int, frame: object) -> None:
        if self.heard:
            raise KeyboardInterrupt
        self.heard = True
