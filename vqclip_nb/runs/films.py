"""Films of the frames in a run's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip_nb import images, video
from vqclip_nb.errors import PictureError, RunError
from vqclip_nb.film_fields import DEFAULT_FPS
from vqclip_nb.settings import Settings
from vqclip_nb.video_reader import VideoReader

_MAX_FPS = 60.0  # of a film with a length in seconds


def make_film(frames: Sequence[Path], path: Path, settings: Settings, inputs: Path, **options: Any) -> None:
    """Write the film of a run's frames with `video.film`; `options` are options of that function.

    If the run paints a film, every frame is shown once, at the film's frame rate and with the sound of its video. With
    the option `seconds`, the film has that length, and no sound. Raises RunError, FilmError.
    """
    if not settings.frame_steps:
        video.film(frames, path, **options)
        return
    if seconds := options.pop("seconds", None):
        hold = options.pop("hold", 0.0)
        resampled, fps = _resample(frames, max(seconds - hold, 0.1), options.pop("fps", None))
        video.film(resampled, path, fps=fps, hold=hold, **options)
        return
    source = _video(settings, inputs)
    fps = settings.fps or (source.fps / settings.every if source else DEFAULT_FPS)
    defaults: dict[str, Any] = {"fps": fps, "hold": 0.0, "sound": source.path if source else None}
    video.film(frames, path, **defaults | options)


def _resample(frames: Sequence[Path], seconds: float, fps: float | None) -> tuple[list[Path], float]:
    """Repeat or drop frames evenly, so that they last `seconds`. Returns the frames and the frames per second.

    Without `fps`, each frame is shown once, up to 60 frames per second.
    """
    fps = fps or min(len(frames) / seconds, _MAX_FPS)
    count = max(round(seconds * fps), 1)
    return [frames[index * len(frames) // count] for index in range(count)] if frames else [], fps or 1.0


def beside_video(frames: Sequence[Path], settings: Settings, inputs: Path, folder: Path) -> list[Path]:
    """Write pictures into `folder`: each frame with the frame of the original video on its left. Returns their paths.

    Raises RunError, PictureError.
    """
    source = _video(settings, inputs)
    if source is None:
        raise RunError("the run repaints no video, or it is not in the run's folder; leave out --beside")
    paths = []
    for path in frames:
        with Image.open(path) as frame:
            number = min(settings.frame_after(int(path.stem)), len(source)) - 1
            pair = Image.new("RGB", (2 * frame.width, frame.height))
            pair.paste(images.covering(source.frame(max(number, 0)), frame.size), (0, 0))
            pair.paste(frame, (frame.width, 0))
        paths.append(folder / f"{path.stem}.png")
        pair.save(paths[-1])
    return paths


def _video(settings: Settings, inputs: Path) -> VideoReader | None:
    """The video that a run repaints, or None if there is none, or its file is missing."""
    if not settings.video:
        return None
    try:
        return VideoReader(images.locate(settings.video, field="video", inputs=inputs), settings.video_nth)
    except PictureError:
        return None
