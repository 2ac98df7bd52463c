"""`vqclip sweep`: many pictures from lists of prompts, seeds and settings."""

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from vqclip_nb.cli._common import add_flag, prepare, settings_from
from vqclip_nb.freed_memory import keep_freed
from vqclip_nb.paths import expand_home
from vqclip_nb.stop import Stop

if TYPE_CHECKING:
    from vqclip_nb.sweeps.results import Result

FLAGS = ("device", "metadata", "quiet")


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "sweep",
        help="paint many pictures: lists of prompts, seeds and settings",
        description="Paint every picture that a file describes, each in its own folder. The same command again paints "
        "only the missing ones. At the end it writes contact.png, index.html and results.csv.",
        epilog="for example: vqclip sweep prompts.txt --out sweep",
        allow_abbrev=False,
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="YAML, JSON, CSV, or text with one prompt a line")
    parser.add_argument("--out", default="sweep", metavar="FOLDER", help="folder of the pictures (default: sweep)")
    parser.add_argument("--example", action="store_true", help="print an example file with comments, and exit")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the number of pictures, the time and the disk space, and exit"
    )
    parser.add_argument(
        "--judge",
        metavar="PERCEPTOR",
        help="score the pictures with this perceptor, which must not be the one that guides them; `none` for no "
        "scores (default: a downloaded perceptor, not demo)",
    )
    parser.add_argument(
        "--limit", type=int, default=10_000, metavar="N", help="the largest number of pictures allowed (default: 10000)"
    )
    parser.add_argument("--ray", action="store_true", help="paint with Ray, on all GPUs of this machine or on its CPUs")
    parser.add_argument("--address", metavar="HOST:PORT", help="paint on the Ray cluster at this address, or `auto`")
    parser.add_argument("--workers", type=int, metavar="N", help="with Ray: the largest number of pictures at once")
    for name in FLAGS:
        add_flag(parser, name)
    parser.set_defaults(run=sweep, parser=parser)


def sweep(arguments: argparse.Namespace) -> int:
    """Read the file, paint the missing pictures, and write the reports. Returns 1 when an item failed."""
    from vqclip_nb.errors import SettingsError
    from vqclip_nb.sweeps.items import EXAMPLE, read_items

    if arguments.example:
        print(EXAMPLE, end="")
        return 0
    if arguments.file is None:
        raise SettingsError("a sweep needs a file; `vqclip sweep --example` prints one")
    common = settings_from(arguments)
    common.pop("out", None)
    if arguments.workers is not None:
        if not (arguments.ray or arguments.address):
            raise SettingsError("--workers is an option for Ray; add --ray, or --address HOST:PORT")
        if arguments.workers < 1:
            raise SettingsError(f"workers must be 1 or more, got {arguments.workers}")
    items = read_items(expand_home(arguments.file), limit=arguments.limit, common=common)
    for settings in {item.settings.canvas + item.settings.perceptor: item.settings for item in items}.values():
        prepare(settings)
    if arguments.judge not in (None, "none"):
        _prepare_judge(items, arguments.judge, quiet=bool(common.get("quiet")))
    if arguments.dry_run:
        return _print_estimate(items, _worker_count(arguments))
    keep_freed()
    return _paint(items, arguments, quiet=bool(common.get("quiet")))


def _prepare_judge(items: list[Any], name: str, *, quiet: bool) -> None:
    """Check and download the perceptor that will score the pictures."""
    from vqclip_nb import models
    from vqclip_nb.models.missing import download_missing
    from vqclip_nb.sweeps.judge import check

    check(items, name)
    download_missing(models.chosen((), name), quiet=quiet)


def _worker_count(arguments: argparse.Namespace) -> int | None:
    """The number of Ray workers for the estimate of a dry run; None without Ray.

    For a cluster it is --workers, or 1: a dry run does not connect to it.
    """
    from vqclip_nb.sweeps.estimate import workers_here

    if not (arguments.ray or arguments.address):
        return None
    if arguments.address:
        return arguments.workers or 1
    return min(arguments.workers or workers_here(), workers_here())


def _print_estimate(items: list[Any], workers: int | None) -> int:
    from vqclip_nb.sweeps.estimate import estimate

    total = estimate(items, workers=workers)
    hours, minutes = divmod(round(total.seconds / 60), 60)
    time = f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{total.seconds:.0f} s"
    workers_text = f" with {workers} worker{'s' * (workers > 1)}" if workers else ""
    print(f"{total.pictures} pictures, about {time}{workers_text} and {total.size / 1e6:.0f} MB on the disk")
    return 0


def _paint(items: list[Any], arguments: argparse.Namespace, *, quiet: bool) -> int:
    from tqdm import tqdm

    from vqclip_nb.sweeps import sweep, sweep_on_ray
    from vqclip_nb.sweeps.judge import available_judge, score
    from vqclip_nb.sweeps.ray_start import check as check_ray
    from vqclip_nb.sweeps.report import write_reports

    out, judge = expand_home(arguments.out), arguments.judge
    paint: Any = sweep
    if arguments.ray or arguments.address:
        check_ray(arguments.address, arguments.workers)  # before the progress bar is shown
        paint = partial(sweep_on_ray, address=arguments.address, workers=arguments.workers)
    results: list[Result] = []
    with Stop() as stop, tqdm(total=len(items), unit="picture", disable=quiet, dynamic_ncols=True) as bar:
        for result in paint(items, out, stop=lambda: bool(stop.count)):
            results.append(result)
            bar.update()
    order = {item.name: index for index, item in enumerate(items)}
    results.sort(key=lambda result: order[result.item.name])  # with Ray, results arrive as they finish
    pictures = [result for result in results if result.picture.is_file()]
    judge = None if judge == "none" else judge or available_judge(items)
    write_reports(results, out, score(pictures, judge) if judge and pictures else None)
    if judge and pictures and not quiet:
        print(f"Scores by {judge}: the distance to the prompt, lower is better")
    texts = {"painted": "painted", "there": "already painted", "failed": "failed"}
    counts = {state: sum(result.state == state for result in results) for state in texts}
    print(f"{', '.join(f'{counts[state]} {text}' for state, text in texts.items())}: {out / 'index.html'}")
    for result in results:
        if result.state == "failed":
            print(f"vqclip: failed: {result.item.name}: {result.error}", file=sys.stderr)
    if len(results) < len(items) or any(result.state == "stopped" for result in results):
        print("vqclip: stopped; the same command continues from here", file=sys.stderr)
    return 1 if counts["failed"] else 0
