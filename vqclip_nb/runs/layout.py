"""The layout of a run's folder, and checks that no link or folder takes the place of its files.

Links are not followed.
"""

import re
from pathlib import Path

from vqclip_nb.safe_files import files, is_plain, kind, need, numbered_files

FRAMES, STATES, INPUTS = "frames", "state", "inputs"
FRAME, STATE = ".jpg", ".safetensors"
EXPORTS = ("progress.gif", "progress.webp", "run.zip")  # films and archives that the panel makes on request
LOCK = ".lock"  # locked by the process that paints the run
_TABLES = ("settings.json", "timeline.jsonl", "losses.csv")
_OUTPUTS = ("result.png", "progress.mp4", *EXPORTS)
_FILE_NAMES = re.compile(r"\d+\.(jpg|safetensors)|[0-9a-f]{64}\..*|\..*\.part", re.ASCII)


def frames(folder: Path) -> list[Path]:
    """The pictures of the steps in a run's folder, in order."""
    return [path for _, path in sorted(numbered_files(folder / FRAMES, FRAME).items())]


def states(folder: Path) -> dict[int, Path]:
    """The saved states of a run, by step, the latest last."""
    return dict(sorted(numbered_files(folder / STATES, STATE).items()))


def inputs(folder: Path) -> list[Path]:
    """The pictures in a run's folder `inputs`, each named by its sha256."""
    return [path for path in files(folder) if re.fullmatch(r"[0-9a-f]{64}", path.stem)]


def check(folder: Path) -> None:
    """Raise InTheWay when a subfolder is a link, or a link or folder is in the place of a file.

    Call this before files are deleted. Links in the place of a result or a film are allowed: they are replaced, and
    their targets are not changed.
    """
    for name in (FRAMES, STATES, INPUTS):
        need(folder / name, "a folder")
        for path in sorted((folder / name).glob("*")):
            if _FILE_NAMES.fullmatch(path.name) and not (path.name.startswith(".") and kind(path) != "a folder"):
                need(path, "a file")
    for name in _TABLES:
        need(folder / name, "a file")
    for path in (
        *(folder / name for name in (*_OUTPUTS, LOCK)),
        *folder.glob(".*.part"),
        *folder.glob("result-*.png"),
    ):
        if kind(path) == "a folder":
            need(path, "a file")


def files_after(folder: Path, step: int) -> list[Path]:
    """The frames and states after a step, and the films and archives that contain them."""
    numbered = [*numbered_files(folder / FRAMES, FRAME).items(), *numbered_files(folder / STATES, STATE).items()]
    return [path for number, path in numbered if number > step] + [folder / name for name in EXPORTS]


def temporary_files(folder: Path) -> list[Path]:
    """The temporary files of a run that was killed."""
    subfolders = [folder / name for name in (FRAMES, STATES, INPUTS) if kind(folder / name) == "a folder"]
    return [path for parent in (folder, *subfolders) for path in parent.glob(".*.part")]


def is_run(folder: Path) -> bool:
    """Whether a folder holds the settings of a run."""
    return is_plain(folder / "settings.json")
