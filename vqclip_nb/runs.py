"""Runs: what survives of a painting, as a folder that explains itself.

runs/<date-time>-<slug>-<seed>/
    settings.json   inputs/ (given pictures, by sha256)   frames/000001.jpg …
    result.png (result-1.png … for variations)   progress.mp4
"""

import hashlib
import io
import os
import queue
import re
import threading
import time
import unicodedata
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from PIL import Image
from torch import Tensor

from vqclip_nb import images, prompts, provenance
from vqclip_nb.errors import PaintWarning, RunError
from vqclip_nb.films import film
from vqclip_nb.painting import Frame, Painting
from vqclip_nb.settings import Settings

FRAME_QUALITY = 92


class Run:
    """A painting's folder. Frames are written by a thread of their own; every file appears whole or not at all."""

    def __init__(self, folder: Path, digests: Mapping[str, str], hashes: Mapping[str, str]) -> None:
        self.folder, self.digests, self.hashes = folder, digests, hashes
        self.latest: Frame | None = None  # the last frame that carried a picture
        self._frames = _Writer()

    @classmethod
    def create(cls, settings: Settings, *, inputs: Path | None = None) -> Self:
        """A new folder under `settings.out`, with the settings and the given pictures in it.

        Pictures named by their sha256 are looked for in the folder `inputs`. Raises RunError, PictureError.
        """
        hashes = provenance.model_hashes(settings)
        given = {
            name: images.locate(name, field=field, inputs=inputs)
            for name, field in provenance.given_pictures(settings).items()
        }
        digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in given.items()}
        try:
            folder = _new_folder(Path(settings.out).expanduser(), settings)
            (folder / "frames").mkdir()
            for name, path in given.items():
                (folder / "inputs").mkdir(exist_ok=True)
                write(folder / "inputs" / f"{digests[name]}{path.suffix.lower()}", path.read_bytes())
            unnamed = settings.but(**provenance.unnamed(settings, digests))
            write(folder / "settings.json", unnamed.to_json().encode())
        except OSError as error:
            raise _unwritable(settings.out, error.strerror or str(error)) from None
        return cls(folder, digests, hashes)

    def add(self, frame: Frame) -> None:
        """Keep this frame's picture, if it is one to keep. Returns at once; the file follows."""
        if frame.image is None:
            return
        self.latest = frame
        if frame.kept:
            self._frames.put(self.folder / "frames" / f"{frame.step:06}.jpg", frame.image)

    def finish(self, painting: Painting) -> Path:
        """Write result and film, however the painting ended; returns the path of result.png.

        What was painted is what counts: when the film fails that is a PaintWarning, no more. Raises RunError.
        """
        self._frames.close()
        result = self._write_result(self._last_picture(painting), painting.settings)
        try:
            film(sorted((self.folder / "frames").glob("*.jpg")), self.folder / "progress.mp4")
        except RunError as error:
            warnings.warn(str(error), PaintWarning, stacklevel=2)
        return result

    def _last_picture(self, painting: Painting) -> Tensor:
        """The last picture that was judged; for a run that ended early, the one after it, when it can be shown."""
        if self.latest and self.latest.image is not None:
            if self.latest.step == painting.settings.steps or not (image := painting.picture()).isfinite().all():
                return self.latest.image
            return image
        return painting.picture()

    def _write_result(self, image: Tensor, settings: Settings) -> Path:
        """result.png; for variations that is the grid of them, and each is beside it, with its own seed inside."""
        pils = images.to_pils(image)
        result = self.folder / "result.png"
        try:
            if len(pils) > 1:
                for index, (pil, seed) in enumerate(zip(pils, settings.seeds, strict=True), 1):
                    alone = settings.but(seed=seed, variations=1)
                    write(self.folder / f"result-{index}.png", self._png(pil, alone))
            write(result, self._png(images.grid(pils), settings))
        except OSError as error:
            raise _unwritable(str(self.folder), error.strerror or str(error)) from None
        return result

    def _png(self, pil: Image.Image, settings: Settings) -> bytes:
        text = (
            provenance.png_text(provenance.describe(settings, self.digests, self.hashes)) if settings.metadata else None
        )
        return _encoded(lambda file: pil.save(file, "PNG", pnginfo=text))


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside it first, then moved into its place."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_out(out: str) -> None:
    """Raise RunError when no folder could be made under `out`. Makes nothing."""
    folder = Path(out).expanduser()
    nearest = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not nearest.is_dir():
        raise _unwritable(out, f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _unwritable(out, f"{nearest} may not be written to")


def slug(prompt: str) -> str:
    """A prompt's first text as part of a file's name, legal everywhere: `a-red-house-by-the-sea`."""
    texts = prompts.parse(prompt)
    plain = unicodedata.normalize("NFKD", texts[0].text if texts else "").encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    kept = [word for index, word in enumerate(words) if len("-".join(words[: index + 1])) <= 40]
    return "-".join(kept) or "picture"


class _Writer:
    """Writes pictures as JPEG, one after the other, off the painting path. A failure is said once, not raised."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Path, Tensor] | None] = queue.Queue(maxsize=8)
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._write_all, name="vqclip-frames", daemon=True)
        self._thread.start()

    def put(self, path: Path, image: Tensor) -> None:
        """Queue a picture, or wait when eight are queued already."""
        self._waiting.put((path, image))
        self._say()

    def close(self) -> None:
        """Wait until all is written."""
        self._waiting.put(None)
        self._thread.join()
        self._say()

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            path, image = item
            sheet = images.grid(images.to_pils(image))
            try:
                write(path, _encoded(lambda file, sheet=sheet: sheet.save(file, "JPEG", quality=FRAME_QUALITY)))  # type: ignore[misc]
            except OSError as error:
                self._failure = error

    def _say(self) -> None:
        failure, self._failure = self._failure, None
        if failure:
            reason = failure.strerror or str(failure)
            warnings.warn(f"a frame could not be kept ({reason}); the painting goes on", PaintWarning, stacklevel=3)


def _encoded(save: Callable[[io.BytesIO], None]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def _new_folder(out: Path, settings: Settings) -> Path:
    """A folder named after now, the prompt and the seed; with a number behind it where that one is taken."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(settings.prompt)}-{settings.seed}"
    for number in range(1, 1000):
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not out.is_dir():
                raise
            continue
        return folder
    raise FileExistsError(None, f"{name} is taken")


def _unwritable(out: str, reason: str) -> RunError:
    return RunError(f"out must be a folder that can be written to, got {out!r}: {reason}; choose another with --out")
