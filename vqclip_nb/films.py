"""Films: a picture's way from noise to the end, from the frames a run has kept."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from vqclip_nb.errors import RunError
from vqclip_nb.images import first_line

LONGEST_FPS, SHORTEST_FPS = 30, 4


def film(frames: Sequence[Path], path: Path, *, seconds: float = 6.0, hold: float = 1.0) -> None:
    """An H.264 mp4 of about `seconds` in all, the last frame held for `hold` of them.

    One frame is in memory at a time; more frames than fit at 30 a second are thinned evenly; odd sides get a row or
    column of black. Raises RunError when there is no frame, or the encoder fails; then no file is left.
    """
    if not frames:
        raise RunError("there are no frames to make a film of")
    moving = seconds - hold
    fps = min(max(len(frames) / moving, SHORTEST_FPS), LONGEST_FPS)
    most = round(moving * fps)
    shown = (
        [frames[round(i * (len(frames) - 1) / (most - 1))] for i in range(most)] if len(frames) > most else [*frames]
    )
    unfinished = path.with_name(f".{path.name}.part")
    try:
        _encode(shown + [frames[-1]] * round(hold * fps), unfinished, fps)
        os.replace(unfinished, path)
    except (OSError, RuntimeError) as error:
        raise RunError(f"the film could not be written: {first_line(error)}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _encode(frames: Sequence[Path], path: Path, fps: float) -> None:
    """Feed frames to ffmpeg, yuv420p, and wait for it."""
    from imageio_ffmpeg import write_frames

    with Image.open(frames[0]) as first:
        size = (first.width + first.width % 2, first.height + first.height % 2)
    writer = write_frames(
        str(path),
        size,
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=1,
        quality=None,
        output_params=["-crf", "18", "-preset", "veryfast", "-movflags", "+faststart", "-f", "mp4"],
    )
    writer.send(None)
    try:
        for frame in frames:
            with Image.open(frame) as pil:
                even = Image.new("RGB", size)
                even.paste(pil)
            writer.send(even.tobytes())
    finally:
        writer.close()
