"""Films of runs: how the frames that a run has kept are shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqclip_nb import images, video
from vqclip_nb.errors import PictureError
from vqclip_nb.settings import Settings
from vqclip_nb.video_reader import VideoReader

DEFAULT_FPS = 12.0


def make_film(frames: Sequence[Path], path: Path, settings: Settings, inputs: Path, **wishes: Any) -> None:
    """A film of a run's frames, as `video.film` makes it; `wishes` are its options, where a person has some.

    A film that was painted as one shows every frame once, at its own rate and with the sound of its video. Raises
    RunError, FilmError.
    """
    if not settings.frame_steps or wishes.get("seconds"):
        video.film(frames, path, **wishes)
        return
    source = _video(settings, inputs)
    fps = settings.fps or (source.fps / settings.every if source else DEFAULT_FPS)
    usual: dict[str, Any] = {"fps": fps, "hold": 0.0, "sound": source.path if source else None}
    video.film(frames, path, **usual | wishes)


def _video(settings: Settings, inputs: Path) -> VideoReader | None:
    """The video that a run repaints, or None where there is none, or it is lost."""
    if not settings.video:
        return None
    try:
        return VideoReader(images.locate(settings.video, field="video", inputs=inputs), settings.video_nth)
    except PictureError:
        return None
