"""Memory: whether a device has run out of it, and how it is given back."""

import gc

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
