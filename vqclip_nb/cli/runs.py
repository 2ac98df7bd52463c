"""`vqclip runs`: the runs there are, each under the one it branched from; and what may be deleted."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.cli._common import add_flag
from vqclip_nb.escapes import visible
from vqclip_nb.images import first_line
from vqclip_nb.paths import expanded
from vqclip_nb.safe_files import is_plain, kind

if TYPE_CHECKING:
    from vqclip_nb.runs.reader import RunInfo

GOING = ".deleted"  # ends the name of a folder that is being deleted


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "runs",
        help="list the runs as a tree, with their sizes on the disk, and delete some",
        description="List the runs, each branch under its parent.",
        allow_abbrev=False,
    )
    add_flag(parser, "out")
    parser.add_argument(
        "--prune",
        nargs="*",
        metavar="RUN",
        help="delete these runs; of none named, those that hold neither a picture nor a state, and are an hour old",
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    parser.set_defaults(run=runs, parser=parser)


def runs(arguments: argparse.Namespace) -> int:
    """Show the tree, or name what would be deleted and ask."""
    from vqclip_nb.runs.reader import read_all

    out = getattr(arguments, "out", "runs")
    found, wrong = read_all(out)
    if arguments.prune is not None:
        return _prune(found, arguments.prune, out=out, sure=arguments.yes)
    for line in (*tree(found), *wrong):
        print(visible(line))
    print(f"{len(found)} runs in {out}, {_size(sum(_bytes(story.folder) for story in found))}")
    return 0


def tree(stories: Sequence["RunInfo"]) -> Iterator[str]:
    """A line for each run, a branch under its parent; one whose parent is gone stands alone."""
    names = {story.folder.name for story in stories}
    below: dict[str | None, list[RunInfo]] = {}
    for story in stories:
        parent = story.parent[0] if story.parent else None
        below.setdefault(parent if parent in names and parent != story.folder.name else None, []).append(story)
    shown: set[str] = set()

    def lines(name: str | None, depth: int) -> Iterator[str]:
        for story in below.get(name, []):
            if story.folder.name not in shown:
                shown.add(story.folder.name)
                yield _line(story, depth)
                yield from lines(story.folder.name, depth + 1)

    yield from lines(None, 0)
    for story in stories:  # parents that go round in a circle have no top
        if story.folder.name not in shown:
            yield _line(story, 0)


def _line(story: "RunInfo", depth: int) -> str:
    current = story.current
    done, (width, height) = max(story.kept, default=0), current.size
    branched = f"from step {story.parent[1]}" if story.parent else ""
    facts = [f"{done}/{current.steps} steps", f"{width}x{height}", story.begun.replace("T", " "), branched]
    mark = "  " * depth + ("└ " if depth else "")
    told = ", ".join(filter(None, [*facts, _size(_bytes(story.folder))]))
    return f"{mark}{story.folder.name}  {' '.join(current.prompt.split())!r}  {told}"


def _prune(stories: Sequence["RunInfo"], names: Sequence[str], *, out: str, sure: bool) -> int:
    """Name what is deleted, ask, and delete it."""
    from vqclip_nb.errors import RunError
    from vqclip_nb.runs.background_writer import check_free
    from vqclip_nb.safe_files import need

    known = {story.folder.name: story for story in stories} | {str(story.folder.resolve()): story for story in stories}
    wanted = [name if name in known else str(Path(name).resolve()) for name in names]
    if unknown := [name for name, key in zip(names, wanted, strict=True) if key not in known]:
        raise RunError(f"prune must name runs of {out!r}, got {unknown[0]!r}; `vqclip runs` lists them")
    _clear(expanded(out))
    chosen = [known[key] for key in dict.fromkeys(wanted)] or [story for story in stories if _empty(story)]
    if not chosen:
        print("There is nothing to delete: every run holds a picture or a state; --prune RUN deletes one of them")
        return 0
    for story in chosen:
        print(f"{visible(story.folder)}  {_size(_bytes(story.folder))}")
    if not sure and not _agreed("Delete these? [y/N] "):
        print("Nothing was deleted", file=sys.stderr)
        return 0
    kept = 0
    for story in chosen:
        try:
            need(story.folder, "a folder")
            check_free(story.folder)
            going = story.folder.with_name(f".{story.folder.name}-{os.getpid()}{GOING}")
            story.folder.rename(going)  # from here on it is no run any more, wherever the deletion ends
            shutil.rmtree(going)
        except (OSError, RunError) as error:
            kept += 1
            print(visible(f"vqclip: {story.folder} was not deleted: {first_line(error)}"), file=sys.stderr)
    print(f"Deleted {len(chosen) - kept}")
    return 2 if kept else 0


def _clear(out: Path) -> None:
    """Delete what a deletion, or the first moment of a run, left behind that was killed an hour ago or earlier."""
    for path in (*out.glob(f".*{GOING}"), *out.glob(".*.part")):
        with suppress(OSError):
            if kind(path) == "a folder" and time.time() - path.lstat().st_mtime > 3600:
                shutil.rmtree(path)


def _agreed(question: str) -> bool:
    """What a person says to a question; nobody there is a no."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _empty(story: "RunInfo") -> bool:
    """Whether a run holds neither a picture nor a state, and nobody has touched it for an hour."""
    if story.kept or (story.folder / "result.png").exists():
        return False
    try:
        touched = max(path.lstat().st_mtime for path in (story.folder, *story.folder.iterdir()))
    except OSError as error:
        print(visible(f"vqclip: {story.folder} is left alone: {first_line(error)}"), file=sys.stderr)
        return False
    return time.time() - touched > 3600


def _bytes(folder: Path) -> int:
    """The bytes that a folder takes."""
    count = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # a file of a run that is being painted may be gone again
            count += path.lstat().st_size if is_plain(path) else 0
    return count


def _size(count: float) -> str:
    """A number of bytes in words."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
