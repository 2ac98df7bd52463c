"""Films: a picture's way from noise to the end, from the frames a run has kept."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from vqclip_nb.errors import FilmError, PaintWarning, RunError
from vqclip_nb.images import BROKEN, first_line
from vqclip_nb.safe_files import part

MOST_FPS, LEAST_FPS = 30, 4
LINGER = 1.5  # above 1, the early steps, in which more happens, are given more of the film
_MOST_TEXT = 30_000  # letters; Windows takes no longer command
FORMATS: dict[str, dict[str, Any]] = {
    ".mp4": {
        "codec": "libx264",
        "pix_fmt_out": "yuv420p",
        "output_params": ["-crf", "18", "-preset", "veryfast", "-movflags", "+faststart", "-f", "mp4"],
    },
    ".gif": {
        "codec": "gif",
        "pix_fmt_out": "pal8",
        "output_params": [
            *["-vf", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=sierra2_4a"],
            *["-loop", "0", "-f", "gif"],
        ],
    },
    ".webp": {
        "codec": "libwebp_anim",
        "pix_fmt_out": "yuv420p",
        "output_params": ["-quality", "85", "-loop", "0", "-f", "webp"],
    },
}


def film(
    frames: Sequence[Path],
    path: Path,
    *,
    seconds: float | None = None,
    fps: float | None = None,
    hold: float = 1.0,
    about: Mapping[str, Any] | None = None,
    hurry: Callable[[], bool] = lambda: False,
) -> None:
    """A film of the kind that `path` ends in, the last frame held for `hold` seconds.

    With `fps` alone every frame is shown once; with `seconds` (6, where neither is given) so many in all. One frame is
    in memory at a time; odd sides get a row or column of black. `about` goes into an mp4's metadata. A link at `path`
    is replaced, and what it points to stays. Raises RunError when there is no frame or no such format;
    FilmError when the encoder fails, or there is `hurry`; then no file is left.
    """
    if path.suffix.lower() not in FORMATS:
        raise RunError(f"a film must end in one of {', '.join(FORMATS)}, got {path.name!r}")
    if not frames:
        raise RunError("there are no frames to make a film of")
    shown, fps = _schedule(frames, seconds, fps, hold)
    path = path.absolute()  # ffmpeg takes what stands before a colon in a relative path for a protocol
    try:
        unfinished = part(path)
    except OSError as error:
        raise FilmError(f"the film could not be written: {first_line(error)}") from None
    try:
        _encode(shown, unfinished, fps, FORMATS[path.suffix.lower()], about, hurry)
        if not (unfinished.is_file() and unfinished.stat().st_size):
            raise RuntimeError("the encoder made no file")
        os.replace(unfinished, path)
    except RunError:
        raise
    except (*BROKEN, RuntimeError) as error:
        raise FilmError(f"the film could not be written: {first_line(error)}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _schedule(
    frames: Sequence[Path], seconds: float | None, fps: float | None, hold: float
) -> tuple[list[Path], float]:
    """The frames in the order they are shown, and how many a second."""
    if fps and not seconds:
        return [*frames, *[frames[-1]] * round(hold * fps)], fps
    moving = max((seconds or 6.0) - hold, 0.1)
    fps = fps or min(max(len(frames) / moving, LEAST_FPS), MOST_FPS)
    count = max(round(moving * fps), 2)
    shown = [frames[round((index / (count - 1)) ** LINGER * (len(frames) - 1))] for index in range(count)]
    return shown + [frames[-1]] * round(hold * fps), fps


def _encode(frames: Sequence[Path], path: Path, fps: float, form: Any, about: Any, hurry: Callable[[], bool]) -> None:
    """Feed frames to ffmpeg, and wait for it."""
    from imageio_ffmpeg import write_frames

    with Image.open(frames[-1]) as last:
        size = (last.width, last.height)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    tags = ["-map_metadata", "-1"]
    if about and len(text := json.dumps(about)) < _MOST_TEXT:
        tags += ["-metadata", f"comment={text}"]
    given = {**form, "output_params": [*tags, *form["output_params"]]}
    writer = write_frames(str(path), even, fps=fps, macro_block_size=1, quality=None, ffmpeg_log_level="quiet", **given)
    writer.send(None)
    try:
        for pil in _readable(frames):
            if hurry():
                raise FilmError("the film was left out; `vqclip film RUN` makes it")
            sheet = Image.new("RGB", even)
            sheet.paste(pil if pil.size == size else ImageOps.pad(pil, size))
            writer.send(sheet.tobytes())
    finally:
        writer.close()


def _readable(frames: Sequence[Path]) -> Iterator[Image.Image]:
    """Each frame in turn; one that cannot be read is left out, and said once."""
    lost: set[Path] = set()
    for path in frames:
        try:
            with Image.open(path) as pil:
                yield pil.convert("RGB")
        except BROKEN as error:
            if not lost:
                said = f"the film is without {path.name}, which cannot be read: {first_line(error)}"
                warnings.warn(said, PaintWarning, stacklevel=2)
            lost.add(path)
