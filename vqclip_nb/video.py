"""Video: writes films from the frames of a run, with ffmpeg."""

import json
import os
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from vqclip_nb.errors import FilmError, PaintWarning, RunError
from vqclip_nb.images import BROKEN, MOST_PIXELS, first_line
from vqclip_nb.safe_files import part

MOST_FPS, LEAST_FPS = 30, 4
LINGER = 1.5  # above 1, the early steps, which change the picture most, get more of the film
_SOUND = ["-map", "0:v", "-map", "1:a?", "-acodec", "aac", "-shortest"]  # sound of the second input, if it has any
_MOST_TEXT = 30_000  # letters; the limit of a Windows command line
FORMATS: dict[str, list[str]] = {  # arguments of ffmpeg
    ".mp4": [
        *["-vcodec", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-preset", "veryfast"],
        *["-movflags", "+faststart", "-f", "mp4"],
    ],
    ".gif": [
        *["-vf", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=sierra2_4a"],
        *["-vcodec", "gif", "-pix_fmt", "pal8", "-loop", "0", "-f", "gif"],
    ],
    ".mkv": ["-vcodec", "ffv1", "-pix_fmt", "bgr0", "-f", "matroska"],  # lossless
    ".webp": [
        *["-vcodec", "libwebp_anim", "-pix_fmt", "yuv420p", "-quality", "85", "-loop", "0", "-f", "webp"],
    ],
}


def film(
    frames: Sequence[Path],
    path: Path,
    *,
    seconds: float | None = None,
    fps: float | None = None,
    hold: float = 1.0,
    sound: Path | None = None,
    about: Mapping[str, Any] | None = None,
    hurry: Callable[[], bool] = lambda: False,
) -> None:
    """Write a film in the format of the suffix of `path`; the last frame is held for `hold` seconds.

    With `fps` alone every frame is shown once; with `seconds` (default 6) the film has that length. One frame is in
    memory at a time; odd sides get a row or column of black. `sound`: a film whose sound is copied to an mp4. `about`:
    goes into an mp4's metadata. `hurry`: returns True to give up. A link at `path` is replaced; its target is not
    changed. Raises RunError when there are no frames, or for an unknown format; FilmError when the encoder fails or
    `hurry` returns True; then no file is left.
    """
    if path.suffix.lower() not in FORMATS:
        raise RunError(f"a film must end in one of {', '.join(FORMATS)}, got {path.name!r}")
    if not frames:
        raise RunError("there are no frames to make a film of")
    sequence, fps = _schedule(frames, seconds, fps, hold)
    try:
        temporary = part(path)
    except OSError as error:
        raise FilmError(f"the film could not be written: {first_line(error)}") from None
    try:
        form = FORMATS[path.suffix.lower()]
        if sound and path.suffix.lower() == ".mp4":
            form = [*_SOUND, *form]
        else:
            sound = None
        _encode(sequence, temporary, fps, form, about, hurry, sound)
        if not (temporary.is_file() and temporary.stat().st_size):
            raise FilmError("the film could not be written: the encoder made no file")
        os.replace(temporary, path)
    except RunError:
        raise
    except (*BROKEN, RuntimeError) as error:
        raise FilmError(f"the film could not be written: {first_line(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _schedule(
    frames: Sequence[Path], seconds: float | None, fps: float | None, hold: float
) -> tuple[list[Path], float]:
    """The frames in the order of the film, and the frame rate."""
    if fps and not seconds:
        return [*frames, *[frames[-1]] * round(hold * fps)], fps
    moving = max((seconds or 6.0) - hold, 0.1)
    fps = fps or min(max(len(frames) / moving, LEAST_FPS), MOST_FPS)
    count = max(round(moving * fps), 2)
    sequence = [frames[round((index / (count - 1)) ** LINGER * (len(frames) - 1))] for index in range(count)]
    return sequence + [frames[-1]] * round(hold * fps), fps


def _encode(
    frames: Sequence[Path],
    path: Path,
    fps: float,
    form: Sequence[str],
    about: Any,
    hurry: Callable[[], bool],
    sound: Path | None = None,
) -> None:
    """Feed frames to ffmpeg, and wait for it. Raises FilmError, OSError."""
    size = _size(frames)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    with tempfile.TemporaryFile() as lines, _ffmpeg(path, even, fps, form, about, lines, sound) as process:
        try:
            for pil in _readable(frames):
                if hurry():
                    raise FilmError("the film was left out; `vqclip film RUN` makes it")
                sheet = Image.new("RGB", even)
                sheet.paste(pil if pil.size == size else ImageOps.pad(pil, size))
                process.stdin.write(sheet.tobytes())  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
        except OSError:  # ffmpeg ended early; its error lines say why
            with suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
        except BaseException:
            process.kill()
            with suppress(OSError):  # data that it has not read
                process.stdin.close()  # type: ignore[union-attr]
            raise
        if process.wait():
            raise FilmError(f"the film could not be written: {_reason(lines, process.returncode)}")


def _ffmpeg(
    path: Path,
    size: tuple[int, int],
    fps: float,
    form: Sequence[str],
    about: Any,
    lines: Any,
    sound: Path | None,
) -> Any:
    """Start ffmpeg, with its error lines going into a file, and shielded from Ctrl-C and hang-ups of our terminal."""
    from imageio_ffmpeg import get_ffmpeg_exe

    inputs = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:.6f}", "-i", "pipe:0"]
    inputs += ["-protocol_whitelist", "file", "-i", "file:" + str(sound.absolute())] if sound else []
    tags = ["-map_metadata", "-1"]
    if about and len(text := json.dumps(about)) < _MOST_TEXT:
        tags += ["-metadata", f"comment={text}"]
    output = "file:" + str(path.absolute())  # so that a colon is not a protocol, and a dash not an option
    return subprocess.Popen(
        [get_ffmpeg_exe(), "-y", "-v", "error", *inputs, *tags, *form, output],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=lines,
        start_new_session=True,
    )


def _reason(lines: Any, status: int) -> str:
    """Why the encoder failed, in one line: its first error line, without memory addresses."""
    lines.seek(0)
    messages = [line.strip() for line in lines.read().decode(errors="replace").splitlines() if line.strip()]
    causes = [line for line in messages if "No space left" in line or "denied" in line or "too large" in line]
    ending = f"ffmpeg ended with status {status}" if status > 0 else f"ffmpeg was ended by signal {-status}"
    return re.sub(r"\[[^]]*@ [^]]*\] ?", "", (causes or messages or [ending])[0])[:200]


def _size(frames: Sequence[Path]) -> tuple[int, int]:
    """Width and height of the last readable frame. Raises FilmError when there is none."""
    for path in reversed(list(dict.fromkeys(frames))):
        with suppress(*BROKEN), Image.open(path) as pil:
            if pil.width * pil.height <= MOST_PIXELS:
                pil.load()
                return pil.size
    raise FilmError("the film could not be written: none of its frames can be read")


def _readable(frames: Sequence[Path]) -> Iterator[Image.Image]:
    """Each frame in turn. Unreadable frames are skipped, with one warning for all."""
    unreadable: set[Path] = set()
    for path in frames:
        try:
            with Image.open(path) as pil:
                if pil.width * pil.height > MOST_PIXELS:
                    raise ValueError(f"it has {pil.width} x {pil.height} pixels, more than {MOST_PIXELS:,}")
                picture = pil.convert("RGB")
        except BROKEN as error:
            if not unreadable:
                problem = f"the film is without {path.name}, which cannot be read: {first_line(error)}"
                warnings.warn(problem, PaintWarning, stacklevel=2)
            unreadable.add(path)
        else:
            yield picture
