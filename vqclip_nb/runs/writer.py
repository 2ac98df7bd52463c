"""Writes a run's folder.

runs/<date-time>-<slug>-<seed>/
    settings.json       version, settings at the first step, run options, versions of models, the parent of a branch
    timeline.jsonl      the edits, each with its step
    state/000120.safetensors   checkpoints (checkpoint.py): the last two, and some for branches
    frames/000001.jpg   the frames of the film
    losses.csv          step, picture (from 1), name and value (loss_log.py)
    inputs/             the input pictures, by sha256
    result.png          (result-1.png … for variations)   progress.mp4
    copies.json         other paths to which a command wrote the picture; not in every run

In version 0, settings.json had only the settings, and there were no timeline, states and losses. It can still be read.
"""

import hashlib
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from PIL import Image
from torch import Tensor

from vqclip_nb import __version__, embedded, images
from vqclip_nb.errors import PaintWarning, RunError
from vqclip_nb.frame import Frame
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.painting import Painting
from vqclip_nb.paths import expand_home
from vqclip_nb.runs import checkpoint, layout, metadata
from vqclip_nb.runs.background_writer import BackgroundWriter
from vqclip_nb.runs.creation import (
    edits_to_dicts,
    identity,
    input_files,
    make_folder,
    replacements,
    slug,
    timeline_lines,
    unwritable,
)
from vqclip_nb.runs.films import make_film
from vqclip_nb.runs.loss_log import LossLog
from vqclip_nb.runs.reader import RUN_OPTIONS, VERSION, RunInfo
from vqclip_nb.safe_files import read
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

FRAME_QUALITY = 92
LATEST_STATES = 2


class RunWriter:
    """Writes the folder of a run. Files are written by a thread, each atomically."""

    def __init__(self, info: RunInfo, first_files: Mapping[str, bytes], digests: Mapping[str, str]) -> None:
        self.settings = info.settings  # at the first step
        self.film_failed = False  # whether `finish` could not make the film
        self.latest: Frame | None = None  # the last frame with a picture
        self._hashes = info.hashes or metadata.model_hashes(info.settings)
        self._writer = BackgroundWriter(info.folder, first_files)
        self._digests = dict(digests)  # the sha256 of each input picture, by its name in the settings
        self._identity = info.identity
        self._losses = LossLog()
        self._unread_frames: list[Frame] = []  # frames whose losses are still on the device
        self._states = info.saved_steps  # the steps of the saved states
        self._copied_edits = 0  # the number of edits whose pictures have been copied
        self._saved_at = time.monotonic()

    @classmethod
    def create(
        cls,
        settings: Settings,
        *,
        inputs: Path | None = None,
        changes: Sequence[Edit] = (),
        parent: tuple[str, int] | None = None,
        name: str | None = None,
    ) -> Self:
        """Create a folder in `settings.out`, with the settings and the input pictures.

        `name` is the name of the folder; by default it consists of the time, the prompt and the seed. Pictures named by
        their sha256 are looked up in the folder `inputs`. `changes` are the edits of a replay, or of
        a branch, which has a `parent`. Raises RunError, PictureError.
        """
        hashes = metadata.model_hashes(settings)
        files = input_files([settings.to_dict(), *(change.settings for change in changes)], inputs)
        files |= replacements(changes, inputs)
        digests = {name: hashlib.sha256(data).hexdigest() for name, (_, data) in files.items()}
        info = RunInfo(Path(), settings, tuple(changes), parent)
        name = name or f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(info.current.prompt)}-{info.current.seed}"
        settings = settings.replace(**metadata.hash_names(settings.to_dict(), digests))
        description = {
            "version": VERSION,
            "settings": settings.to_dict(),
            "place": {field: getattr(settings, field) for field in RUN_OPTIONS},
            "package": __version__,
            "models": hashes,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%S"),
        } | ({"parent": {"run": parent[0], "step": parent[1]}} if parent else {})
        first_files = {f"inputs/{digests[name]}{suffix}": data for name, (suffix, data) in files.items()}
        first_files["settings.json"] = (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode()
        first_files |= {"timeline.jsonl": timeline_lines(changes, digests)} if changes else {}
        try:
            folder = make_folder(expand_home(settings.out), name, first_files)
        except OSError as error:
            raise unwritable(settings.out, error.strerror or str(error)) from None
        run_identity = identity(json.loads(first_files["settings.json"]))
        return cls(RunInfo(folder, settings, parent=parent, hashes=hashes, identity=run_identity), first_files, digests)

    @classmethod
    def open(cls, info: RunInfo) -> Self:
        """Continue in an existing folder. Raises RunError, OSError, models.UnknownModel."""
        layout.check(info.folder)
        metadata.compare(info.hashes or {}, info.settings)
        paths = layout.inputs(info.inputs)
        first_files = {f"inputs/{path.name}": read(path) for path in paths}
        first_files["settings.json"] = read(info.folder / "settings.json")
        digests = {f"sha256:{path.stem}": path.stem for path in paths}
        return cls(info, first_files, digests)

    @property
    def folder(self) -> Path:
        """The run's folder, relative to the working directory if inside it. It changes when files are rescued."""
        folder = self._writer.folder
        return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder

    @property
    def saved_steps(self) -> tuple[int, ...]:
        """The steps with a saved state, the latest last."""
        return tuple(self._states)

    def add(self, frame: Frame, painting: Painting) -> None:
        """Record a step: its losses, its picture if it belongs to the film, and the state when it is due."""
        has_new_edits = len(painting.timeline) != self._copied_edits
        self._copy_inputs(painting)
        self._unread_frames.append(frame)
        if frame.image is not None:
            self.latest = frame
            if frame.kept:
                about = self.about(painting)
                # Converted here: torch running in a second thread makes every later step on a CPU slower.
                pixels = cuda_graphs.to_host(images.to_bytes(frame.image))
                self._writer.put(f"frames/{frame.step:06}.jpg", lambda: _jpeg(pixels(), about))
        if (has_new_edits or self._is_due(frame.step)) and frame.step < frame.steps:  # `finish` saves the last state
            self.save(painting)

    def save(self, painting: Painting) -> bool:
        """Save the state, and wait until it is written. Returns whether that worked; if not, older states are kept."""
        self._copy_inputs(painting)
        self._read_losses()
        state = painting.state_dict()
        state["facts"] |= {
            "run": self._identity,
            "settings": metadata.hash_names(state["facts"]["settings"], self._digests),
            "timeline": edits_to_dicts(painting.timeline, self._digests),
        }
        table, step = self._losses.table(), painting.step_count
        lines = timeline_lines([*painting.timeline, *painting.ahead], self._digests)
        self._writer.put("timeline.jsonl", lambda: lines)
        self._writer.put("losses.csv", lambda: table)
        self._writer.put(name := f"state/{step:06}.safetensors", lambda: checkpoint.pack(state))
        complete, self._saved_at = self._writer.flush(), time.monotonic()
        if not self._writer.has(name):
            return False
        self._states = [*(state for state in self._states if state != step), step]
        states_to_keep = _states_to_keep(self._states, painting.settings.steps)
        for old_state in sorted(set(self._states) - set(states_to_keep)):
            self._writer.remove(f"state/{old_state:06}.safetensors")
        self._states = states_to_keep
        return complete

    def rewind(self, painting: Painting, step: int) -> None:
        """Set the painting back to a step with a saved state, and delete the later steps. Raises RunError."""
        self._writer.flush()
        layout.check(self.folder)
        state = RunInfo(self.folder, self.settings, identity=self._identity).state(step)
        names = {f"sha256:{digest}": name for name, digest in self._digests.items()}
        settings = state["facts"]["settings"]
        for field in metadata.PICTURE_LISTS:
            settings[field] = metadata.rename_pictures(settings.get(field) or (), lambda name: names.get(name, name))
        painting.load_state_dict(state)
        painting.ahead.clear()
        self.truncate(painting)

    def truncate(self, painting: Painting) -> None:
        """Delete everything after the painting's step, in memory and on the disk, except edits of later steps."""
        step, folder = painting.step_count, self.folder
        for path in (*layout.files_after(folder, step), *layout.temporary_files(folder)):
            path.unlink(missing_ok=True)
        self.latest = None
        self._losses, self._unread_frames = LossLog.read(folder / "losses.csv", step), []
        self._states = [state for state in self._states if state <= step]
        self._copy_inputs(painting)
        table, lines = self._losses.table(), timeline_lines([*painting.timeline, *painting.ahead], self._digests)
        self._writer.put("losses.csv", lambda: table)
        self._writer.put("timeline.jsonl", lambda: lines)
        self._writer.flush()

    def inherit(self, parent: RunInfo, painting: Painting, *, count: int, variation: int | None) -> None:
        """Copy the frames and losses of the parent, and save the state.

        count: the number of pictures in the parent's frames. variation: copy only this one of them, from 1.
        """
        step = painting.step_count
        for path in layout.frames(parent.folder):
            if int(path.stem) <= step:
                self._writer.put(f"frames/{path.name}", lambda path=path: _frame_bytes(path, variation, count))  # type: ignore[misc]
        self._losses = LossLog.read(parent.folder / "losses.csv", step, picture=variation)
        self.save(painting)

    def finish(self, painting: Painting, *, hurry: Callable[[], bool] = lambda: False) -> Path:
        """Write the state, the result and the film, also of an incomplete run. Returns the path of result.png.

        If the folder cannot be written to, the remaining files are written to a new temporary folder. If the film
        fails, there is a PaintWarning. When `hurry` returns True, the film is skipped. Raises RunError.
        """
        complete = painting.step_count >= painting.settings.steps
        if not complete:  # the state after the last step marks the run as complete, so it is written last of all
            self.save(painting)
        for name, data in self._results(self._last_picture(painting), painting).items():
            self._writer.put(name, lambda data=data: data)  # type: ignore[misc]
        if not self._writer.flush():
            self._rescue()
        result = self.folder / "result.png"
        try:
            about = self.about(painting)
            frames, path = layout.frames(self.folder), self.folder / "progress.mp4"
            make_film(frames, path, painting.settings, self.folder / "inputs", about=about, hurry=hurry)
        except RunError as error:
            self.film_failed = not hurry()
            warnings.warn(str(error), PaintWarning, stacklevel=2)
        if complete:
            self.save(painting)
        self._writer.close()
        return result

    def close(self) -> None:
        """End without a result, for a run without steps, and release the folder."""
        self._writer.close()

    def _rescue(self) -> None:
        """Write the files that are still in memory to a new temporary folder. Raises RunError."""
        folder = self.folder
        try:
            rescue = Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
        except OSError as error:
            raise unwritable(str(folder), error.strerror or str(error)) from None
        for name, data in self._writer.first_files.items():
            self._writer.unwritten.setdefault(name, data)
        self._writer.move(rescue)
        if not self._writer.flush():
            raise unwritable(str(folder), f"neither it nor the temporary folder {rescue} is writable")
        message = f"{folder} could not be written to; the missing files are in {rescue}"
        warnings.warn(message, PaintWarning, stacklevel=3)

    def _is_due(self, step: int) -> bool:
        """Whether a state is due by `save_every`."""
        every = self.settings.save_every
        if every.endswith("s"):
            return time.monotonic() - self._saved_at >= int(every[:-1])
        return step % int(every) == 0

    def _copy_inputs(self, painting: Painting) -> None:
        """Copy the input pictures of new edits into the folder."""
        new = painting.timeline[self._copied_edits :]
        self._copied_edits = len(painting.timeline)
        files = input_files([change.settings for change in new], self.folder / "inputs", skip=self._digests)
        files |= replacements(new, self.folder / "inputs", skip=self._digests)
        for name, (suffix, data) in files.items():
            digest = self._digests[name] = hashlib.sha256(data).hexdigest()
            self._writer.first_files[f"inputs/{digest}{suffix}"] = data
            self._writer.put(f"inputs/{digest}{suffix}", lambda data=data: data)  # type: ignore[misc]

    def about(self, painting: Painting, index: int | None = None) -> dict[str, Any] | None:
        """The description of a picture, or None with `metadata=False`.

        index: of the variation that the picture shows, from 0; None if it shows all of them.
        """
        if not painting.settings.metadata:
            return None
        self._copy_inputs(painting)
        settings, timeline = self.settings, edits_to_dicts(painting.timeline, self._digests)
        if index is not None:
            settings = settings.replace(seed=settings.seeds[index], variations=1)
            for change in timeline:
                if "seed" in change["settings"]:
                    change["settings"] |= {"seed": change["settings"]["seed"] + index}
        step = painting.step_count
        return metadata.describe(settings, timeline=timeline, step=step, hashes=self._hashes)

    def _read_losses(self) -> None:
        """Copy the losses of the latest frames from the device."""
        for frame in self._unread_frames:
            for name, loss in (*frame.losses.items(), *frame.scores.items()):
                self._losses.add(frame.step, name, loss.tolist())
        self._unread_frames = []

    def _last_picture(self, painting: Painting) -> Tensor:
        """The last frame's picture; for a run that ended early, the current picture, if it is finite."""
        if self.latest and self.latest.image is not None and self.latest.step == painting.settings.steps:
            return self.latest.image
        image = painting.picture()
        latest = self.latest.image if self.latest else None
        return image if latest is None or image.isfinite().all() else latest

    def _results(self, image: Tensor, painting: Painting) -> dict[str, bytes]:
        """The files of the result: result.png, which is a grid of all variations, and a file for each variation."""
        pils = images.to_pils(image)
        files = {}
        for index, pil in enumerate(pils if len(pils) > 1 else ()):
            files[f"result-{index + 1}.png"] = embedded.encode(pil, "PNG", self.about(painting, index=index))
        return files | {"result.png": embedded.encode(images.grid(pils), "PNG", self.about(painting))}


def _jpeg(pixels: Tensor, about: Mapping[str, Any] | None) -> bytes:
    """Encode pictures as one JPEG, in a grid."""
    return embedded.encode(images.grid(images.to_pils(pixels)), "JPEG", about, quality=FRAME_QUALITY)


def _frame_bytes(path: Path, variation: int | None, count: int) -> bytes:
    """The content of a frame's file, or only one `variation`, from 1, of its grid of `count` pictures."""
    if variation is None or count == 1:
        return read(path)
    with Image.open(path) as pil:
        return embedded.encode(images.cell(pil, variation - 1, count), "JPEG", None, quality=FRAME_QUALITY)


def _states_to_keep(states: list[int], steps: int) -> list[int]:
    """The steps of the states to keep: the latest two, and for branches earlier ones, an eighth of the run apart."""
    distance, steps_kept, last = max(10, steps // 8), states[-LATEST_STATES:], 0
    for step in states[:-LATEST_STATES]:
        if step - last >= distance:
            steps_kept, last = [*steps_kept, step], step
    return sorted(steps_kept)
