"""Used prompts: the painted prompts, in a file beside the runs. They stay on this machine, even if runs are deleted."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vqclip_nb.safe_files import read, write

FILE = ".prompts.txt"  # in the folder of the runs, one prompt a line, the newest last
MOST, MOST_BYTES = 500, 2**20


def read_prompts(out: Path) -> list[str]:
    """The prompts, newest first; an empty list if the file cannot be read."""
    with suppress(OSError, ValueError):
        lines = read(out / FILE, most=MOST_BYTES).decode().splitlines()
        return [line for line in reversed(lines) if line]
    return []


def remember(out: Path, prompts: Iterable[str]) -> None:
    """Add prompts, each once. A full disk is ignored."""
    known = dict.fromkeys(read_prompts(out)[::-1])
    for prompt in prompts:
        line = " ".join(prompt.split())
        known.pop(line, None)
        known[line] = None
    text = "".join(f"{line}\n" for line in list(known)[-MOST:])
    with suppress(OSError):
        write(out / FILE, text.encode())
