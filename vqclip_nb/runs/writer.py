"""Runs: what survives of a painting, as a folder that explains itself.

runs/<date-time>-<slug>-<seed>/
    settings.json       version, settings at the first step, where and how they were painted, the parent of a branch
    timeline.jsonl      what was changed while painting, each with its step
    state/000120.safetensors   all that is needed to go on (checkpoint.py); the last two, and some for branches
    frames/000001.jpg   the pictures kept, for the film
    losses.csv          step, picture (from 1), name and value (loss_log.py)
    inputs/             the pictures it was given, by sha256
    result.png          (result-1.png … for variations)   progress.mp4
    copies.json         where a command wrote the picture besides; not in every run

Version 0 had the bare settings in settings.json, and neither timeline, state nor losses; it still opens.
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
from vqclip_nb.paths import expanded
from vqclip_nb.runs import checkpoint, layout, metadata
from vqclip_nb.runs.background_writer import BackgroundWriter
from vqclip_nb.runs.films import make_film
from vqclip_nb.runs.founding import (
    given_files,
    identity,
    lines_of,
    make_folder,
    replacements,
    slug,
    unwritable,
    written,
)
from vqclip_nb.runs.loss_log import LossLog
from vqclip_nb.runs.reader import PLACE, VERSION, RunInfo
from vqclip_nb.safe_files import read
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

FRAME_QUALITY = 92
STATES_KEPT = 2


class RunWriter:
    """A painting's folder. Files are written by a thread of their own; each appears whole or not at all."""

    def __init__(self, story: RunInfo, founding: Mapping[str, bytes], digests: Mapping[str, str]) -> None:
        self.settings = story.settings  # as they were at the first step
        self.film_failed = False  # whether `finish` could not make the film
        self.latest: Frame | None = None  # the last frame that carried a picture
        self._hashes = story.hashes or metadata.model_hashes(story.settings)
        self._keeper = BackgroundWriter(story.folder, founding)
        self._digests = dict(digests)  # the sha256 of each given picture, by the name it was given under
        self._identity = story.identity
        self._losses = LossLog()
        self._unread: list[Frame] = []  # whose losses are still on the device
        self._states = story.kept
        self._changes = 0  # of the painting's, whose pictures have been taken in
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
        """A new folder under `settings.out`, with the settings and the given pictures in it.

        `name` is that of the folder, which is otherwise made of the time, the prompt and the seed.

        Pictures named by their sha256 are looked for in the folder `inputs`. `changes` are those that are known
        already, made or still ahead: of a branch, which has a `parent`, or a replay. Raises RunError, PictureError.
        """
        hashes = metadata.model_hashes(settings)
        given = given_files([settings.to_dict(), *(change.settings for change in changes)], inputs)
        given |= replacements(changes, inputs)
        digests = {name: hashlib.sha256(data).hexdigest() for name, (_, data) in given.items()}
        story = RunInfo(Path(), settings, tuple(changes), parent)
        name = name or f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(story.current.prompt)}-{story.current.seed}"
        settings = settings.replace(**metadata.unnamed(settings.to_dict(), digests))
        told = {
            "version": VERSION,
            "settings": settings.to_dict(),
            "place": {field: getattr(settings, field) for field in PLACE},
            "package": __version__,
            "models": hashes,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%S"),
        } | ({"parent": {"run": parent[0], "step": parent[1]}} if parent else {})
        founding = {f"inputs/{digests[name]}{suffix}": data for name, (suffix, data) in given.items()}
        founding["settings.json"] = (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()
        founding |= {"timeline.jsonl": lines_of(changes, digests)} if changes else {}
        try:
            folder = make_folder(expanded(settings.out), name, founding)
        except OSError as error:
            raise unwritable(settings.out, error.strerror or str(error)) from None
        known_by = identity(json.loads(founding["settings.json"]))
        return cls(RunInfo(folder, settings, parent=parent, hashes=hashes, identity=known_by), founding, digests)

    @classmethod
    def open(cls, story: RunInfo) -> Self:
        """Go on in a folder that is there. Raises RunError, OSError, models.UnknownModel."""
        layout.check(story.folder)
        metadata.compare(story.hashes or {}, story.settings)
        given = layout.inputs(story.inputs)
        founding = {f"inputs/{path.name}": read(path) for path in given}
        founding["settings.json"] = read(story.folder / "settings.json")
        digests = {f"sha256:{path.stem}": path.stem for path in given}
        return cls(story, founding, digests)

    @property
    def folder(self) -> Path:
        """Where it is kept, seen from here; elsewhere than where it was made if that could not be written to."""
        here = self._keeper.folder
        return here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here

    @property
    def kept(self) -> tuple[int, ...]:
        """The steps whose state is kept, the latest last."""
        return tuple(self._states)

    def add(self, frame: Frame, painting: Painting) -> None:
        """Take in a step: its losses, its picture, if that is one to keep, and, when it is time, the whole state."""
        changed = len(painting.timeline) != self._changes
        self._take_in(painting)
        self._unread.append(frame)
        if frame.image is not None:
            self.latest = frame
            if frame.kept:
                about = self.about(painting)
                # Here, not in the keeper: torch at work in a second thread makes every later step on a CPU slower.
                pixels = cuda_graphs.to_host(images.to_bytes(frame.image))
                self._keeper.put(f"frames/{frame.step:06}.jpg", lambda: _jpeg(pixels(), about))
        if (changed or self._due(frame.step)) and frame.step < frame.steps:  # the last is kept when all is written
            self.save(painting)

    def save(self, painting: Painting) -> bool:
        """Keep the state as it is now, and wait until it is on the disk. Whether it is; if not, older ones stay."""
        self._take_in(painting)
        self._read_losses()
        state = painting.state_dict()
        state["facts"] |= {
            "run": self._identity,
            "settings": metadata.unnamed(state["facts"]["settings"], self._digests),
            "timeline": written(painting.timeline, self._digests),
        }
        table, step = self._losses.table(), painting.step_count
        lines = lines_of([*painting.timeline, *painting.ahead], self._digests)
        self._keeper.put("timeline.jsonl", lambda: lines)
        self._keeper.put("losses.csv", lambda: table)
        self._keeper.put(name := f"state/{step:06}.safetensors", lambda: checkpoint.pack(state))
        saved, self._saved_at = self._keeper.flush(), time.monotonic()
        if not self._keeper.has(name):
            return False
        self._states = [*(kept for kept in self._states if kept != step), step]
        wanted = _states_to_keep(self._states, painting.settings.steps)
        for old in sorted(set(self._states) - set(wanted)):
            self._keeper.remove(f"state/{old:06}.safetensors")
        self._states = wanted
        return saved

    def rewind(self, painting: Painting, step: int) -> None:
        """Undo: take the painting back to a step whose state is kept; what came after is deleted. Raises RunError."""
        self._keeper.flush()
        layout.check(self.folder)
        state = RunInfo(self.folder, self.settings, identity=self._identity).state(step)
        here = {f"sha256:{digest}": name for name, digest in self._digests.items()}  # as this painting can open them
        told = state["facts"]["settings"]
        for field in metadata.PICTURE_LISTS:
            told[field] = metadata.renamed(told.get(field) or (), lambda name: here.get(name, name))
        painting.load_state_dict(state)
        painting.ahead.clear()
        self.cut(painting)

    def cut(self, painting: Painting) -> None:
        """Forget, on the disk too, what came after the painting's step, and what was made of it; changes ahead stay."""
        step, folder = painting.step_count, self.folder
        for path in (*layout.after(folder, step), *layout.unfinished(folder)):
            path.unlink(missing_ok=True)
        self.latest = None
        self._losses, self._unread = LossLog.read(folder / "losses.csv", step), []
        self._states = [kept for kept in self._states if kept <= step]
        self._take_in(painting)
        table, lines = self._losses.table(), lines_of([*painting.timeline, *painting.ahead], self._digests)
        self._keeper.put("losses.csv", lambda: table)
        self._keeper.put("timeline.jsonl", lambda: lines)
        self._keeper.flush()

    def inherit(self, parent: RunInfo, painting: Painting, *, of: int, variation: int | None) -> None:
        """Take over the frames and losses of the parent, of one `variation` where that was picked, and save."""
        step = painting.step_count
        for path in layout.frames(parent.folder):
            if int(path.stem) <= step:
                self._keeper.put(f"frames/{path.name}", lambda path=path: _picked(path, variation, of))  # type: ignore[misc]
        self._losses = LossLog.read(parent.folder / "losses.csv", step, only=variation)
        self.save(painting)

    def finish(self, painting: Painting, *, hurry: Callable[[], bool] = lambda: False) -> Path:
        """Write state, result and film, however the painting ended; returns the path of result.png.

        Where the folder cannot be written to at the end, all that is held goes into a new one among the temporary
        files. What was painted is what counts: when the film fails that is a PaintWarning, no more. As soon as there is
        `hurry`, the film is left out. Raises RunError.
        """
        done = painting.step_count >= painting.settings.steps
        if not done:  # a state after the last step says that all is there, and comes last
            self.save(painting)
        for name, data in self._results(self._last_picture(painting), painting).items():
            self._keeper.put(name, lambda data=data: data)  # type: ignore[misc]
        if not self._keeper.flush():
            self._rescue()
        result = self.folder / "result.png"
        try:
            about = self.about(painting)
            frames, path = layout.frames(self.folder), self.folder / "progress.mp4"
            make_film(frames, path, painting.settings, self.folder / "inputs", about=about, hurry=hurry)
        except RunError as error:
            self.film_failed = not hurry()
            warnings.warn(str(error), PaintWarning, stacklevel=2)
        if done:
            self.save(painting)
        self._keeper.close()
        return result

    def close(self) -> None:
        """End without a picture, as of a run that made no step, and give the folder free."""
        self._keeper.close()

    def _rescue(self) -> None:
        lost = self.folder
        try:
            rescue = Path(tempfile.mkdtemp(prefix=f"{lost.name}-"))
        except OSError as error:
            raise unwritable(str(lost), error.strerror or str(error)) from None
        for name, data in self._keeper.founding.items():
            self._keeper.held.setdefault(name, data)
        self._keeper.move(rescue)
        if not self._keeper.flush():
            raise unwritable(str(lost), f"and {rescue}, where it was to be rescued, cannot either")
        warnings.warn(f"{lost} could not be written to; what it lacks is in {rescue}", PaintWarning, stacklevel=3)

    def _due(self, step: int) -> bool:
        """Whether it is time to save."""
        every = self.settings.save_every
        if every.endswith("s"):
            return time.monotonic() - self._saved_at >= int(every[:-1])
        return step % int(every) == 0

    def _take_in(self, painting: Painting) -> None:
        """Copy the pictures that changes gave while painting."""
        new = painting.timeline[self._changes :]
        self._changes = len(painting.timeline)
        given = given_files([change.settings for change in new], self.folder / "inputs", known=self._digests)
        given |= replacements(new, self.folder / "inputs", known=self._digests)
        for name, (suffix, data) in given.items():
            digest = self._digests[name] = hashlib.sha256(data).hexdigest()
            self._keeper.founding[f"inputs/{digest}{suffix}"] = data
            self._keeper.put(f"inputs/{digest}{suffix}", lambda data=data: data)  # type: ignore[misc]

    def about(self, painting: Painting, alone: int | None = None) -> dict[str, Any] | None:
        """What a picture says of itself, or None for one that shall not say anything.

        `alone` is the one of the variations, from 0, that it shows.
        """
        if not painting.settings.metadata:
            return None
        self._take_in(painting)
        settings, timeline = self.settings, written(painting.timeline, self._digests)
        if alone is not None:
            settings = settings.replace(seed=settings.seeds[alone], variations=1)
            for change in timeline:
                if "seed" in change["settings"]:
                    change["settings"] |= {"seed": change["settings"]["seed"] + alone}
        step = painting.step_count
        return metadata.describe(settings, timeline=timeline, step=step, hashes=self._hashes)

    def _read_losses(self) -> None:
        """Bring the losses of the last frames from the device."""
        for frame in self._unread:
            for name, loss in (*frame.losses.items(), *frame.scores.items()):
                self._losses.add(frame.step, name, loss.tolist())
        self._unread = []

    def _last_picture(self, painting: Painting) -> Tensor:
        """The last picture that was judged; for a run that ended early, the one after it, when it can be shown."""
        if self.latest and self.latest.image is not None and self.latest.step == painting.settings.steps:
            return self.latest.image
        image = painting.picture()
        judged = self.latest.image if self.latest else None
        return image if judged is None or image.isfinite().all() else judged

    def _results(self, image: Tensor, painting: Painting) -> dict[str, bytes]:
        """result.png; for variations that is the grid of them, and each is beside it, with its own seed inside."""
        pils = images.to_pils(image)
        made = {}
        for index, pil in enumerate(pils if len(pils) > 1 else ()):
            made[f"result-{index + 1}.png"] = embedded.encode(pil, "PNG", self.about(painting, alone=index))
        return made | {"result.png": embedded.encode(images.grid(pils), "PNG", self.about(painting))}


def _jpeg(pixels: Tensor, about: Mapping[str, Any] | None) -> bytes:
    """Pictures side by side as a JPEG."""
    return embedded.encode(images.grid(images.to_pils(pixels)), "JPEG", about, quality=FRAME_QUALITY)


def _picked(path: Path, variation: int | None, count: int) -> bytes:
    """A kept frame; of a sheet of `count` pictures that of one variation, from 1."""
    if variation is None or count == 1:
        return read(path)
    with Image.open(path) as pil:
        return embedded.encode(images.cell(pil, variation - 1, count), "JPEG", None, quality=FRAME_QUALITY)


def _states_to_keep(states: list[int], steps: int) -> list[int]:
    """The latest states, and of those before them some on the way, an eighth of the run apart, for branches there."""
    apart, wanted, last = max(10, steps // 8), states[-STATES_KEPT:], 0
    for step in states[:-STATES_KEPT]:
        if step - last >= apart:
            wanted, last = [*wanted, step], step
    return sorted(wanted)
