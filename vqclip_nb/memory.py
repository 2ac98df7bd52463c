"""Memory: whether a device has run out of it, and how it is given back."""

import gc
import sys

import torch


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
