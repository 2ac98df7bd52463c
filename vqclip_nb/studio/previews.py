"""Previews: small JPEGs of the picture while it is painted, and their interval."""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PREVIEW_SIDE, PREVIEW_BYTES = 512, 100_000  # the longest side in pixels, and the largest size in bytes
QUALITIES = (85, 70, 50, 30)  # JPEG qualities to try, best first: noise takes more bytes than a painting


def previews(image: "Tensor") -> tuple[bytes, ...]:
    """Each of n pictures, (n, 3, H, W) RGB in [0, 1], as a JPEG."""
    from vqclip_nb import images

    side = PREVIEW_SIDE if len(image) == 1 else max(192, PREVIEW_SIDE // round(len(image) ** 0.5))
    return tuple(jpeg(pil, side) for pil in images.to_pils(image))


def jpeg(pil: Any, side: int) -> bytes:
    """A picture as a JPEG of at most `side` pixels and, if a lower quality allows it, at most PREVIEW_BYTES."""
    pil.thumbnail((side, side))
    data = b""
    for quality in QUALITIES:
        file = io.BytesIO()
        pil.save(file, "JPEG", quality=quality)
        data = file.getvalue()
        if len(data) < PREVIEW_BYTES:
            break
    return data


def preview_seconds(elapsed: float) -> float:
    """The seconds between two previews, after `elapsed` seconds of a run.

    They grow with time, because a server keeps unseen previews in memory.
    """
    return 0.5 if elapsed < 60 else 2.0 if elapsed < 600 else 5.0


def gpu_memory(device: Any) -> tuple[int, int] | None:
    """The bytes in use and in all on a CUDA device; None elsewhere."""
    if device.type != "cuda":
        return None
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return total - free, total


def max_pixels(painting: Any) -> float | None:
    """The largest number of pixels that fits the GPU, estimated from the memory of a step; None if unknown."""
    if not (memory := gpu_memory(painting.device)):
        return None
    width, height = painting.settings.size
    peak = painting.peak()
    return width * height * (memory[1] - memory[0]) / peak if peak else None
