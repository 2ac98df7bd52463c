"""Openers: functions that open a job's run in its thread, as a new run, a resumed one or a branch."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqclip_nb.runs.reader import RunInfo, frames
from vqclip_nb.settings import Settings
from vqclip_nb.studio import backup

if TYPE_CHECKING:
    from vqclip_nb.session import ActiveRun
    from vqclip_nb.studio.job import Progress

Opener = Callable[["Progress"], "ActiveRun"]


def new_run(settings: Settings) -> Opener:
    """Open a new run. Missing models are downloaded first."""

    def open(progress: "Progress") -> "ActiveRun":
        progress("Loading PyTorch and the models")
        from vqclip_nb import session

        fetch_models(settings, progress)
        progress("Loading PyTorch and the models")
        with progress.begins(settings):
            return session.start(settings)

    return open


def item(settings: Settings, folder: Path) -> Opener:
    """Open the run in this folder: a new one, or the existing one, which is resumed."""

    def open(progress: "Progress") -> "ActiveRun":
        progress("Loading PyTorch and the models")
        from vqclip_nb import session

        fetch_models(settings, progress)
        progress("Loading PyTorch and the models")
        if (folder / "settings.json").exists():
            return session.resume(folder, run_options={"device": settings.device})
        with progress.begins(settings):
            return session.start(settings.replace(out=str(folder.parent)), name=folder.name)

    return open


def resume(
    folder: Path,
    *,
    step: int | None = None,
    changes: Mapping[str, Any] | None = None,
    copied_from: Path | None = None,
) -> Opener:
    """Resume a run's folder from its last state, or from the state of `step`, with changes of its settings."""

    def open(progress: "Progress") -> "ActiveRun":
        progress("Resuming the run")
        from vqclip_nb import session
        from vqclip_nb.timeline import Edit

        if copied_from:
            progress("Copying the run from the second folder")
            backup.bring_back(copied_from, folder)
        return session.resume(folder, step=step, change=Edit(changes) if changes else None)

    return open


def branch(folder: Path, changes: Mapping[str, Any], *, step: int | None, pick: int | None, out: Path) -> Opener:
    """Open a branch: a new run from a step of another with changed settings, or from its end with one variation alone.

    pick: the variation, from 1. The steps from the nearest saved state on are painted again, while their frames are
    shown; Stop works meanwhile.
    """

    def open(progress: "Progress") -> "ActiveRun":
        progress("Going back to that frame")
        from vqclip_nb import session
        from vqclip_nb.timeline import Edit

        frame_paths = {int(path.stem): path for path in frames(folder)}
        alone = RunInfo.read(folder).settings.variations == 1

        def on_way(made: int) -> None:
            frame = frame_paths.get(made) if alone else None
            progress.on_way(made, step or made, _preview(frame) if frame else None)

        run_options = {"out": str(out)}  # the run may exist only in the second folder
        return session.branch(folder, Edit(changes, variation=pick), step=step, run_options=run_options, on_way=on_way)

    return open


def _preview(path: Path) -> bytes | None:
    """A saved frame as a preview, or None if it cannot be read."""
    from PIL import Image

    from vqclip_nb.images import BROKEN
    from vqclip_nb.studio.previews import PREVIEW_SIDE, jpeg

    try:
        with Image.open(io.BytesIO(path.read_bytes())) as pil:
            return jpeg(pil.convert("RGB"), PREVIEW_SIDE)
    except BROKEN:
        return None


def fetch_models(settings: Settings, report: Callable[[str], None]) -> None:
    """Download the missing models of the settings. Raises CannotFetch."""
    from vqclip_nb import models

    for entry in models.chosen(settings.canvases, settings.perceptor):
        if not entry.on_disk:
            models.fetch(entry, report=lambda progress: report(_download(progress)))


def _download(progress: Any) -> str:
    whole = f" of {progress.total / 1e6:,.0f}" if progress.total else ""
    return progress.note or f"Downloading {progress.name}: {progress.done / 1e6:,.0f}{whole} MB"
