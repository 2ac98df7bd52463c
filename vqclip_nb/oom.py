"""Memory: whether a device has run out of it, and how it is given back."""

import gc

import torch

# What torch, cuBLAS and cuDNN, and the CPU's allocators, say of it.
RAN_OUT = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU, on Apple's, or on the CPU."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in RAN_OUT)


def release(device: torch.device) -> None:
    """Give back to a device what nobody holds any more."""
    gc.collect()
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()
