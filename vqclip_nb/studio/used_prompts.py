"""Used prompts: what was painted from a panel, kept beside the runs even when these are deleted, and sent nowhere."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vqclip_nb.safe_files import read, write

FILE = ".prompts.txt"  # in the folder of the runs, one prompt a line, the newest last
MOST, MOST_BYTES = 500, 2**20


def used(out: Path) -> list[str]:
    """The prompts, newest first; none where the file cannot be read."""
    with suppress(OSError, ValueError):
        lines = read(out / FILE, most=MOST_BYTES).decode().splitlines()
        return [line for line in reversed(lines) if line]
    return []


def remember(out: Path, prompts: Iterable[str]) -> None:
    """Add prompts, each once. A folder that is full is no matter. Raises nothing."""
    known = dict.fromkeys(used(out)[::-1])
    for prompt in prompts:
        line = " ".join(prompt.split())
        known.pop(line, None)
        known[line] = None
    text = "".join(f"{line}\n" for line in list(known)[-MOST:])
    with suppress(OSError):
        write(out / FILE, text.encode())
