"""Optical flow: the motion between two frames of a video, and a picture warped by it.

Uses OpenCV's DIS (Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016), an extra.
"""

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vqclip_nb.errors import PictureError

LEAST = 256  # pixels of the shorter side; smaller frames are enlarged, for the size of the method's patches
INSTALL = 'pip install "vqclip_nb[flow]"'


def check() -> None:
    """Raise PictureError if OpenCV is not installed."""
    try:
        import cv2  # noqa: F401
    except ImportError:
        raise PictureError(f"video_flow needs another package: `{INSTALL}`") from None


def flow(before: Image.Image, after: Image.Image) -> Tensor:
    """The offset from each pixel of `after` to its source in `before`, right and down, in pixels: (H, W, 2) float32.

    It uses one thread, so that the result is the same on every machine with this version of OpenCV. Raises
    PictureError.
    """
    check()
    import cv2
    import numpy as np

    width, height = after.size
    larger = max(1.0, LEAST / min(width, height))
    size = (round(width * larger), round(height * larger))
    new, old = (np.array(pil.convert("L").resize(size, Image.Resampling.BICUBIC)) for pil in (after, before))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
        moves = torch.from_numpy(method.calc(new, old, None))
    finally:
        cv2.setNumThreads(threads)
    pixels = F.interpolate(moves.movedim(-1, 0)[None], (height, width), mode="area")[0].movedim(0, -1)
    return pixels * torch.tensor([width / size[0], height / size[1]])


def along(image: Tensor, moves: Tensor) -> Tensor:
    """Warp a picture, (n, 3, H, W) RGB in [0, 1], by the offsets from `flow`, with one bicubic resampling."""
    height, width = moves.shape[:2]
    axes = (torch.arange(width) + 0.5, torch.arange(height) + 0.5)
    places = torch.stack(torch.meshgrid(*axes, indexing="xy"), -1) + moves
    grid = (2 * places / torch.tensor([width, height]) - 1)[None].expand(len(image), -1, -1, -1)
    return F.grid_sample(image, grid.to(image), "bicubic", "border", align_corners=False).clamp(0, 1)
