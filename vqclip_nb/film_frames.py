"""Film frames: between two frames of a film, the camera moves, a video's frame is mixed in, or a loop closes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from vqclip_nb import images, optical_flow
from vqclip_nb.camera import warp
from vqclip_nb.errors import PictureError
from vqclip_nb.moves import Move
from vqclip_nb.schedules import value_at
from vqclip_nb.settings import Settings
from vqclip_nb.video_reader import VideoReader

if TYPE_CHECKING:
    from vqclip_nb.painting import Painting

FIRST = "first frame"  # the keepsake that a loop returns to


@dataclass
class FilmFrames:
    """Called before each step of a painting; at the end of a frame it sets the canvas to the start of the next one.

    It depends on settings, step and state only, so that films are resumed and replayed exactly. video: the film to
    repaint. follows: whether the previous frame is moved along with the video's motion.
    """

    video: VideoReader | None = None
    follows: bool = False
    _sources: dict[int, Image.Image] = field(default_factory=dict, repr=False)  # the last two that were read

    @classmethod
    def of(cls, settings: Settings, *, inputs: Path | None = None) -> "FilmFrames | None":
        """The film of these settings, or None when they paint one picture. Raises PictureError."""
        if not settings.frame_steps:
            return None
        if not settings.video:
            return cls()
        reader = VideoReader(images.locate(settings.video, field="video", inputs=inputs), settings.video_nth)
        needed, available = settings.frame_count(settings.steps), len(reader)
        if needed > available:
            problem = f"{settings.steps} steps need {needed}"
            remedy = f"add --steps {settings.steps_for(available)} to paint them all"
            raise PictureError(f"video has {available} frames to paint, and {problem}; {remedy}")
        if settings.video_flow:
            optical_flow.check()
        return cls(reader, settings.video_flow)

    def __call__(self, painting: "Painting") -> None:
        """Move the picture, if a frame has just ended."""
        settings, step = painting.settings, painting.step_count
        if not settings.frame_ends(step):
            return
        if settings.loop_frames and settings.frame_after(step) == 1:
            painting.keepsakes[FIRST] = _last_frame(painting)
        move, share = Move.at(settings, step), _way_back(settings, step)
        if move.still and not share and self.video is None:
            return  # nothing moves: optimizer and averages go on
        picture = warp(_last_frame(painting), move)
        if self.video is not None:
            frame = settings.frame_after(step)
            if self.follows:
                picture = optical_flow.along(picture, self._flow(frame, picture))
            weight = value_at(settings.video_weight, step, step / settings.steps)
            picture = picture.lerp(self.frame(frame, picture), weight)
        if share and FIRST in painting.keepsakes:
            picture = picture.lerp(painting.keepsakes[FIRST].to(picture), share)
        painting.go_on_from(picture)

    def frame(self, index: int, like: Tensor) -> Tensor:
        """A frame of the video, by its number from 0, in the shape of a rendering: (1, 3, H, W) RGB in [0, 1]."""
        return images.to_tensor(self._source(index, like)).to(like)

    def _flow(self, index: int, like: Tensor) -> Tensor:
        """The video's optical flow from the previous frame to this one, in pixels of a rendering."""
        before = self._source(index - 1, like)
        return optical_flow.flow(before, self._source(index, like))

    def _source(self, index: int, like: Tensor) -> Image.Image:
        if self.video is None:
            raise ValueError("there is no video")
        if index not in self._sources:  # going back in a video means reading it from the start
            self._sources = {n: pil for n, pil in self._sources.items() if n == index - 1}
            self._sources[index] = self.video.frame(index)
        return images.covering(self._sources[index], (like.shape[-1], like.shape[-2]))


def _last_frame(painting: "Painting") -> Tensor:
    """The picture of the frame that ended, as the film shows it; with an average it needs no further decode."""
    average = painting.averages.image
    if average is None or painting.settings.keep == "best":
        return painting.picture(tidied=False)
    return average.clone()


def _way_back(settings: Settings, step: int) -> float:
    """The share of the first frame to mix into the frame that begins at this step, in [0, 1)."""
    count, index = settings.frame_count(settings.steps), settings.frame_after(step)
    back = min(settings.loop_frames, count - 1)
    return max(0, index - (count - back) + 1) / (back + 1)
