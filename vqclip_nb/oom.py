"""Out of memory: recognises the errors, and frees unused memory."""

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Parts of the messages of torch, cuBLAS, cuDNN and the CPU's allocators.
RAN_OUT = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")


def ran_out(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU or on a GPU."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in RAN_OUT)


def release(device: "torch.device") -> None:
    """Return unused memory to the device."""
    import torch

    gc.collect()
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()
