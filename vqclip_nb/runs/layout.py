"""Where everything of a run lies in its folder, and what must not stand in its way. No link is followed."""

import re
from pathlib import Path

from vqclip_nb.safe_files import files, is_plain, kind, need, numbered

FRAMES, STATES, INPUTS = "frames", "state", "inputs"
FRAME, STATE = ".jpg", ".safetensors"
MADE_WHEN_ASKED = ("progress.gif", "progress.webp", "run.zip")  # of the frames there were; the panel makes them
LOCK = ".lock"  # locked by the process that paints the run
_TABLES = ("settings.json", "timeline.jsonl", "losses.csv")
_REPLACED = ("result.png", "progress.mp4", *MADE_WHEN_ASKED)
_OURS = re.compile(r"\d+\.(jpg|safetensors)|[0-9a-f]{64}\..*|\..*\.part", re.ASCII)


def frames(folder: Path) -> list[Path]:
    """The pictures that a run has kept, in order."""
    return [path for _, path in sorted(numbered(folder / FRAMES, FRAME).items())]


def states(folder: Path) -> dict[int, Path]:
    """The states that a run has kept, by step, the latest last."""
    return dict(sorted(numbered(folder / STATES, STATE).items()))


def inputs(folder: Path) -> list[Path]:
    """The pictures in a run's folder `inputs`, each named by its sha256."""
    return [path for path in files(folder) if re.fullmatch(r"[0-9a-f]{64}", path.stem)]


def check(folder: Path) -> None:
    """Raise InTheWay, before anything is deleted, when a run cannot be written as it should be.

    That is when a subfolder is a link, or when a link or a folder stands where a file of the run belongs. Links in the
    place of a result or a film are no trouble: they are replaced, and what they point to stays.
    """
    for name in (FRAMES, STATES, INPUTS):
        need(folder / name, "a folder")
        for path in sorted((folder / name).glob("*")):
            if _OURS.fullmatch(path.name) and not (path.name.startswith(".") and kind(path) != "a folder"):
                need(path, "a file")
    for name in _TABLES:
        need(folder / name, "a file")
    for path in (
        *(folder / name for name in (*_REPLACED, LOCK)),
        *folder.glob(".*.part"),
        *folder.glob("result-*.png"),
    ):
        if kind(path) == "a folder":
            need(path, "a file")


def after(folder: Path, step: int) -> list[Path]:
    """The frames and states of later steps, and the films that were made of them."""
    late = [*numbered(folder / FRAMES, FRAME).items(), *numbered(folder / STATES, STATE).items()]
    return [path for number, path in late if number > step] + [folder / name for name in MADE_WHEN_ASKED]


def unfinished(folder: Path) -> list[Path]:
    """What a run that was killed left half written."""
    below = [folder / name for name in (FRAMES, STATES, INPUTS) if kind(folder / name) == "a folder"]
    return [path for place in (folder, *below) for path in place.glob(".*.part")]


def is_run(folder: Path) -> bool:
    """Whether a folder holds the settings of a run."""
    return is_plain(folder / "settings.json")
