"""Video reader: the frames of a video, one by one, as pictures."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip_nb.errors import PictureError
from vqclip_nb.images import MOST_PIXELS, first_line

MOST_FRAMES = 100_000
MOST_SIDE = 2048  # pixels
_SAFE = ["-protocol_whitelist", "file"]  # a playlist must not fetch anything


class VideoReader:
    """Every `nth` frame of a video; `len` is their number. One frame is in memory at a time.

    size: width and height of a frame in pixels; frames longer than MOST_SIDE are scaled down as they are read. fps: the
    frame rate of these frames. Raises PictureError for a file that is not a video.
    """

    def __init__(self, path: Path, nth: int = 1) -> None:
        from imageio_ffmpeg import count_frames_and_secs

        self.path, self.nth = path, nth
        self._scaled: list[str] = []
        with self._error_guard():
            about = next(frames := self._open())
            frames.close()
            count, seconds = count_frames_and_secs(str(path.absolute()))
        width, height = about["size"]
        if width * height > MOST_PIXELS:
            problem = f"it has {width} x {height} pixels, more than {MOST_PIXELS:,}"
            raise PictureError(f"video must have smaller frames, got {str(path)!r}: {problem}; scale it down first")
        if not count or count > MOST_FRAMES:
            raise PictureError(f"video must have from 1 to {MOST_FRAMES} frames, got {count} in {str(path)!r}")
        share = min(1.0, MOST_SIDE / max(width, height))
        self.size = (width, height) if share == 1 else (max(2, round(width * share)), max(2, round(height * share)))
        self.fps = (about.get("fps") or count / seconds) / nth
        self._scaled = ["-s", "{}x{}".format(*self.size)] if share < 1 else []
        self._count = -(-count // nth)
        self._frames: Iterator[Any] | None = None
        self._next = 0  # the number of the frame that comes next, of all

    def __len__(self) -> int:
        return self._count

    def frame(self, index: int) -> Image.Image:
        """The frame of this number, from 0.

        Going back reads from the start. Raises PictureError when it cannot be read.
        """
        number = index * self.nth
        if self._frames is None or number < self._next:
            self._frames, self._next = self._open(), 0
            next(self._frames)
        with self._error_guard():
            for data in self._frames:
                self._next += 1
                if self._next > number:
                    return Image.frombytes("RGB", self.size, data)
        raise PictureError(f"video ends before frame {number + 1}: {str(self.path)!r} is damaged there")

    def _open(self) -> Any:
        """Yields the metadata of the video, and then the bytes of each frame."""
        from imageio_ffmpeg import read_frames

        logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # that ffmpeg was ended early is no news
        path = str(self.path.absolute())
        return read_frames(path, pix_fmt="rgb24", input_params=_SAFE, output_params=self._scaled)

    def _error_guard(self) -> "_ErrorGuard":
        return _ErrorGuard(self.path)


class _ErrorGuard:
    """Turns errors while a video is read into a PictureError of one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, OSError | RuntimeError | ValueError | StopIteration | KeyError):
            reason = first_line(error)[:120] or "it has no frames"
            if reason.startswith("Could not load meta"):
                reason = "no pictures were found in it"
            raise PictureError(f"video must be a film, got {str(self.path)!r}: {reason}") from None
