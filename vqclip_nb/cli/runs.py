"""`vqclip runs`: lists runs as a tree of branches, and deletes some."""

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
from vqclip_nb.paths import expand_home
from vqclip_nb.safe_files import is_plain, kind

if TYPE_CHECKING:
    from vqclip_nb.runs.reader import RunInfo

DELETED_SUFFIX = ".deleted"  # suffix of a folder that is being deleted


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "runs",
        help="list runs as a tree, with their sizes on the disk, and delete some",
        description="List the runs, each branch under its parent.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="the folder that holds the runs, as --out")
    add_flag(parser, "out")
    parser.add_argument(
        "--prune",
        nargs="*",
        metavar="RUN",
        help="delete these runs; without names, all runs an hour old that have neither a picture nor a saved state",
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    parser.set_defaults(run=runs, parser=parser)


def runs(arguments: argparse.Namespace) -> int:
    """Print the tree, or delete runs after asking."""
    from vqclip_nb.runs.reader import read_all

    out = arguments.folder or getattr(arguments, "out", "runs")
    infos, problems = read_all(out)
    if arguments.prune is not None:
        return _prune(infos, arguments.prune, out=out, ask=not arguments.yes)
    for line in (*tree(infos), *problems):
        print(visible(line))
    print(f"{len(infos)} runs in {out}, {_size_text(sum(_folder_size(info.folder) for info in infos))}")
    return 0


def tree(infos: Sequence["RunInfo"]) -> Iterator[str]:
    """A line for each run, with branches below their parents. A branch whose parent is missing is at the top level."""
    names = {info.folder.name for info in infos}
    children: dict[str | None, list[RunInfo]] = {}
    for info in infos:
        parent = info.parent[0] if info.parent else None
        children.setdefault(parent if parent in names and parent != info.folder.name else None, []).append(info)
    printed: set[str] = set()

    def lines(name: str | None, depth: int) -> Iterator[str]:
        for info in children.get(name, []):
            if info.folder.name not in printed:
                printed.add(info.folder.name)
                yield _line(info, depth)
                yield from lines(info.folder.name, depth + 1)

    yield from lines(None, 0)
    for info in infos:  # in a cycle of parents, no run is at the top level
        if info.folder.name not in printed:
            yield _line(info, 0)


def _line(info: "RunInfo", depth: int) -> str:
    current = info.current
    step, (width, height) = max(info.saved_steps, default=0), current.size
    origin = f"from step {info.parent[1]}" if info.parent else ""
    facts = [f"{step}/{current.steps} steps", f"{width}x{height}", info.begun.replace("T", " "), origin]
    branch_mark = "  " * depth + ("└ " if depth else "")
    details = ", ".join(filter(None, [*facts, _size_text(_folder_size(info.folder))]))
    return f"{branch_mark}{info.folder.name}  {' '.join(current.prompt.split())!r}  {details}"


def _prune(infos: Sequence["RunInfo"], names: Sequence[str], *, out: str, ask: bool) -> int:
    """List the runs to delete, ask, and delete them."""
    from vqclip_nb.errors import RunError
    from vqclip_nb.runs.background_writer import check_unlocked
    from vqclip_nb.safe_files import need

    by_name = {info.folder.name: info for info in infos} | {str(info.folder.resolve()): info for info in infos}
    keys = [name if name in by_name else str(Path(name).resolve()) for name in names]
    if unknown_names := [name for name, key in zip(names, keys, strict=True) if key not in by_name]:
        raise RunError(f"prune must name runs of {out!r}, got {unknown_names[0]!r}; `vqclip runs` lists them")
    _delete_leftovers(expand_home(out))
    infos_to_delete = [by_name[key] for key in dict.fromkeys(keys)] or [info for info in infos if _is_empty(info)]
    if not infos_to_delete:
        print("There is nothing to delete: every run has a picture or a saved state; --prune RUN deletes a run anyway")
        return 0
    for info in infos_to_delete:
        print(f"{visible(info.folder)}  {_size_text(_folder_size(info.folder))}")
    if ask and not _confirm("Delete these? [y/N] "):
        print("Nothing was deleted", file=sys.stderr)
        return 0
    failures = 0
    for info in infos_to_delete:
        try:
            need(info.folder, "a folder")
            check_unlocked(info.folder)
            temporary = info.folder.with_name(f".{info.folder.name}-{os.getpid()}{DELETED_SUFFIX}")
            info.folder.rename(temporary)  # if deletion is interrupted, the remaining files are not listed as a run
            shutil.rmtree(temporary)
        except (OSError, RunError) as error:
            failures += 1
            print(visible(f"vqclip: {info.folder} was not deleted: {first_line(error)}"), file=sys.stderr)
    print(f"Deleted {len(infos_to_delete) - failures}")
    return 2 if failures else 0


def _delete_leftovers(out: Path) -> None:
    """Delete temporary folders, at least an hour old, of interrupted deletions and creations of runs."""
    for path in (*out.glob(f".*{DELETED_SUFFIX}"), *out.glob(".*.part")):
        with suppress(OSError):
            if kind(path) == "a folder" and time.time() - path.lstat().st_mtime > 3600:
                shutil.rmtree(path)


def _confirm(question: str) -> bool:
    """Ask a yes-or-no question; without a terminal the answer is no."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _is_empty(info: "RunInfo") -> bool:
    """Whether a run has neither a picture nor a state, and has not changed for an hour."""
    if info.saved_steps or (info.folder / "result.png").exists():
        return False
    try:
        latest = max(path.lstat().st_mtime for path in (info.folder, *info.folder.iterdir()))
    except OSError as error:
        print(visible(f"vqclip: {info.folder} is not deleted: {first_line(error)}"), file=sys.stderr)
        return False
    return time.time() - latest > 3600


def _folder_size(folder: Path) -> int:
    """The size of a folder in bytes."""
    count = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # a file of an active run may be gone already
            count += path.lstat().st_size if is_plain(path) else 0
    return count


def _size_text(count: float) -> str:
    """A number of bytes in words."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
