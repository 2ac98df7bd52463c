"""Shared by the commands that paint: the flags for settings, the progress bar, and the messages at the end."""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb import canvases
from vqclip_nb.cli._shell import command
from vqclip_nb.errors import PaintWarning
from vqclip_nb.fields import FieldSpec, by_name, fields
from vqclip_nb.freed_memory import keep_freed
from vqclip_nb.paths import expand_home
from vqclip_nb.settings import Settings
from vqclip_nb.stop import Stop

if TYPE_CHECKING:
    from vqclip_nb.frame import Frame
    from vqclip_nb.painting import Painting
    from vqclip_nb.session import ActiveRun

METAVARS = {
    "image_prompts": "FILE",
    "init_image": "FILE",
    "mask": "FILE",
    "video": "FILE",
    "prompt_masks": "FILE",
    "out": "FOLDER",
    "canvas": "NAME",
    "perceptor": "NAME",
}
ARGPARSE_OPTIONS: dict[str, dict[str, Any]] = {
    "image_prompts": {"action": "append"},  # the flag is repeated: with nargs it would take the prompt too
    "prompt_masks": {"action": "append"},
    "size": {"nargs": 2, "metavar": ("W", "H")},
}


def add_flag(section: Any, name: str) -> None:
    """Add a flag for a field of Settings, or for an option of a canvas. Values stay text: Settings validates them."""
    options: dict[str, Any] = {"metavar": METAVARS.get(name, name.upper())} | ARGPARSE_OPTIONS.get(name, {})
    if by_name(name).kind == "switch":
        options = {"action": argparse.BooleanOptionalAction}
    section.add_argument("--" + name.replace("_", "-"), default=argparse.SUPPRESS, help=explain(name), **options)


def explain(name: str) -> str:
    """A field's help, with the allowed values and the default; for an option, once for each canvas that has it."""
    specs = canvases.owners(name) or [by_name(name)]
    return "; ".join(f"{spec.owner}: {_help(spec)}" if spec.owner else _help(spec) for spec in specs)


def _help(spec: FieldSpec) -> str:
    default = " ".join(map(str, spec.default)) if isinstance(spec.default, tuple) else spec.default
    limits = "" if spec.allowed.startswith(("a text", "true", "a list")) else f"; {spec.allowed}"
    default_text = "" if default in (None, "", True, False) or spec.name == "prompt" else f" (default: {default})"
    return f"{spec.help}{limits}{default_text}".replace("%", "%%")


def settings_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings and the options of a canvas in the arguments. A picture given as a palette becomes its colours.

    Raises PictureError, SettingsError.
    """
    from vqclip_nb import palettes

    readers = {"losses": palettes.replace_pictures_in_losses, "fixed_palette": palettes.replace_picture}
    names = {field.name for field in fields()}
    values = {name: value for name, value in vars(arguments).items() if name in names}
    return {name: readers[name](value) if name in readers else value for name, value in values.items()}


def prepare(settings: Settings) -> None:
    """Download missing models, and show their names and sizes."""
    from vqclip_nb import models
    from vqclip_nb.models.missing import download_missing

    download_missing(models.chosen(settings.canvases, settings.perceptor), quiet=settings.quiet)


def paint_to_end(
    active: "ActiveRun", stop: Stop | None = None, watch: "Callable[[Frame], object]" = lambda frame: None
) -> int:
    """Paint to the end with a progress bar, and print the path of the picture. Returns the exit status.

    stop: shared by several runs, or None for this run alone. watch: called with each frame.
    """
    if stop is None:
        with Stop() as stop:
            return paint_to_end(active, stop, watch)
    from tqdm import tqdm

    from vqclip_nb.errors import NotANumber, OutOfMemory, PictureError

    painting, record = active.painting, active.record
    keep_freed()
    quiet, steps, first_step = painting.settings.quiet, painting.settings.steps, painting.step_count
    if (memory_report := describe_memory(painting)) and not quiet:
        print(memory_report, file=sys.stderr)
    reason, resumable, frame, last_report = None, True, None, 0.0
    with tqdm(total=active.until or steps, initial=first_step, unit="step", disable=quiet, dynamic_ncols=True) as bar:
        try:
            for frame in active:
                is_due = time.monotonic() - last_report > 0.5  # not at each step: reading the loss waits for a GPU
                if is_due and not quiet and frame.image is not None:
                    last_report = time.monotonic()
                    bar.set_postfix(loss=f"{frame.loss:.3f}", refresh=False)
                bar.update()
                watch(frame)
                if stop.count:
                    reason = f"stopped at step {frame.step} of {frame.steps}"
                    break
        except (NotANumber, OutOfMemory, PictureError) as error:  # a film may end early, or be damaged
            reason, resumable = f"stopped: {error}", not isinstance(error, PictureError)
        except KeyboardInterrupt:
            return _report_interrupt(record.folder)
        bar.close()
        earlier_stops = min(stop.count, 1)
        try:
            result = record.finish(painting, hurry=lambda: stop.count > earlier_stops)
        except KeyboardInterrupt:
            return _report_interrupt(record.folder)
    if reason:
        print(f"vqclip: {reason}; the picture so far is kept", file=sys.stderr)
    if reason and resumable:
        print(f"vqclip: `{command('vqclip', 'resume', operands=[record.folder])}` continues from here", file=sys.stderr)
    elif painting.ended and painting.step_count < painting.settings.steps and not quiet:
        patience = painting.settings.early_stop
        print(f"Ended at step {painting.step_count}: no lower loss for {patience} steps", file=sys.stderr)
        resume = command("vqclip", "resume", "--early-stop", "0", operands=[record.folder])
        print(f"vqclip: `{resume}` continues from here", file=sys.stderr)
    print(result if quiet else f"Painted: {result}")
    if reason and not stop.count:
        return 1
    return 3 if record.film_failed else 0


def _report_interrupt(folder: Path) -> int:
    resume = command("vqclip", "resume", operands=[folder])
    print(f"vqclip: interrupted; `{resume}` continues from the last saved state", file=sys.stderr)
    return 130


def describe_memory(painting: "Painting") -> str | None:
    """Measure the memory of a step on a GPU, and return a sentence about it; None on other devices.

    If the step does not fit, a PaintWarning names a size that fits, and None is returned.
    """
    if painting.device.type != "cuda":
        return None
    import torch

    from vqclip_nb.session import build_painting

    free = torch.cuda.mem_get_info(painting.device)[0] / 1e9
    peak = painting.peak()
    if peak is not None:
        return f"A step takes {peak / 1e9:.1f} GB of GPU memory, and {free:.1f} GB are free"
    settings = painting.settings
    fits = fitting_size(settings.size, lambda size: build_painting(settings.replace(size=size)).peak())
    size = f"--size {fits[0]} {fits[1]} fits" if fits else "no smaller size fits either; a smaller model may"
    width, height = settings.size
    warnings.warn(
        f"{width} x {height} needs more than the {free:.1f} GB of memory that are free on this GPU: {size}. "
        "vqclip tries it anyway, in ways that use less memory and are slower",
        PaintWarning,
        stacklevel=2,
    )
    return None


def fitting_size(size: tuple[int, int], peak_at: Callable[[tuple[int, int]], int | None]) -> tuple[int, int] | None:
    """The largest size of 7/8, 6/8, ... 1/8 of `size` that fits, or None.

    peak_at: returns the bytes that a step of a size takes, or None if it does not fit.
    """
    smaller = [(size[0] * eighths // 8, size[1] * eighths // 8) for eighths in range(7, 0, -1)]
    return next((option for option in smaller if min(option) >= 16 and peak_at(option) is not None), None)


def find_run(name: str, out: str = "runs") -> Path:
    """The folder of a run, by its path, by a file in it, or by its name in `out`."""
    path, folder = expand_home(name), expand_home(out) / name
    if path.is_file() and (path.parent / "settings.json").exists():
        return path.parent
    return folder if not path.exists() and folder.is_dir() else path
