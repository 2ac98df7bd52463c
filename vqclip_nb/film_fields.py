"""Film fields: the settings of a film, in which a camera moves the picture after every few steps."""

from typing import Annotated, Literal

from pydantic import BaseModel

from vqclip_nb.schedules import Number, Scheduled
from vqclip_nb.schema import field

GROUP = "Film"
DEFAULT_FPS = 12.0
_Turn = Annotated[Number, Scheduled(ge=-45, le=45)]
_Shift = Annotated[Number, Scheduled(ge=-1024, le=1024)]


class FilmFields(BaseModel):
    """The part of Settings that is about films."""

    frame_steps: int = field(
        0,
        GROUP,
        "Steps per frame",
        "paint a film: after this many steps a frame is kept and the camera moves; 0 paints one picture",
        ge=0,
        le=1000,
    )
    first_steps: int = field(
        30, GROUP, "Steps of the first frame", "which starts from noise; 0: as many as the others", ge=0, le=10_000
    )
    fps: float | None = field(
        None, GROUP, "Frames a second", "frame rate of the film; default: that of the video, or 12", ge=1, le=60
    )
    zoom: Annotated[Number, Scheduled(ge=0.25, le=4)] = field(
        1.0, GROUP, "Zoom", "how much larger the picture gets with each frame: 1.02 goes in, 0.98 out", live=True
    )
    shift_x: _Shift = field(
        0.0, GROUP, "Shift to the right", "pixels that the picture moves to the right with each frame", live=True
    )
    shift_y: _Shift = field(0.0, GROUP, "Shift down", "pixels that the picture moves down with each frame", live=True)
    rotate: Annotated[Number, Scheduled(ge=-180, le=180)] = field(
        0.0, GROUP, "Rotate", "degrees that the picture turns with each frame, anticlockwise", live=True
    )
    turn_x: _Turn = field(
        0.0, GROUP, "Look up", "degrees that the camera looks up with each frame; below 0, down", live=True
    )
    turn_y: _Turn = field(
        0.0, GROUP, "Look right", "degrees that the camera looks right with each frame; below 0, left", live=True
    )
    border: Literal["reflect", "stretch", "wrap", "fill"] = field(
        "reflect",
        GROUP,
        "Border",
        "what fills the uncovered edges: the picture mirrored, its edge pixels repeated, its opposite side, or soft "
        "colours to paint over",
        live=True,
    )
    loop_frames: int = field(
        0,
        GROUP,
        "Loop",
        "number of frames at the end that fade into the first one, for a film that loops; 0 for none",
        ge=0,
        le=1000,
    )
    video: str | None = field(None, GROUP, "Video", "a film to repaint frame by frame")
    video_nth: int = field(1, GROUP, "Every nth frame", "of the video: 2 takes every other frame", ge=1, le=100)
    video_weight: Annotated[Number, Scheduled(ge=0, le=1)] = field(
        0.5,
        GROUP,
        "Video weight",
        "share of the video's frame in the start of each frame; the rest is the previous frame",
        live=True,
    )

    video_flow: bool = field(
        False,
        GROUP,
        "Follow the motion",
        "move the frame before along with the things in the video, against flicker and ghosts; by optical flow, which "
        'needs `pip install "vqclip_nb[flow]"`',
    )

    def frame_after(self, step: int) -> int:
        """The number of complete frames after `step` steps."""
        beyond = step - (self.first_steps or self.frame_steps)
        return 0 if beyond < 0 else 1 + beyond // self.frame_steps

    def frame_ends(self, step: int) -> bool:
        """Whether a frame of the film is completed by the step of this number, from 1."""
        beyond = step - (self.first_steps or self.frame_steps)
        return beyond >= 0 and beyond % self.frame_steps == 0

    def frame_count(self, steps: int) -> int:
        """The number of frames that `steps` steps paint; the last may have fewer steps than the others."""
        return self.frame_after(steps - 1) + 1

    def steps_for(self, frames: int) -> int:
        """The number of steps that `frames` frames take."""
        return (self.first_steps or self.frame_steps) + (frames - 1) * self.frame_steps
