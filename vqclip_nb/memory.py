"""Memory: whether a device has run out of it, how much a step takes, and which size would fit."""

import gc
import sys
from collections.abc import Callable

import torch

Size = tuple[int, int]


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU, on Apple's, or on the CPU."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def release(device: torch.device) -> None:
    """Give back to a device what nobody holds any more."""
    gc.collect()
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()


def keep_freed() -> None:
    """Let this process keep the memory that it frees, where its C library can (glibc): for itself, not for the system.

    A step's large tensors are then not given back and cleared anew, which took a fifth of a large decoder's time.
    """
    import ctypes

    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD: up to 1 GB comes from the heap
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap's end stays


def peak(work: Callable[[], object], device: torch.device) -> int | None:
    """The bytes that a CUDA device holds at most while `work` is done, or None when it runs out of them."""
    torch.cuda.reset_peak_memory_stats(device)
    try:
        work()
    except RuntimeError as error:
        if not ran_out(error):
            raise
        return None
    finally:
        release(device)
    return torch.cuda.max_memory_allocated(device)


def fitting(size: Size, peak_at: Callable[[Size], int | None]) -> Size | None:
    """The largest of seven smaller sizes of this shape that is measured to fit, or None."""
    smaller = [(size[0] * eighths // 8, size[1] * eighths // 8) for eighths in range(7, 0, -1)]
    return next((tried for tried in smaller if min(tried) >= 16 and peak_at(tried) is not None), None)
