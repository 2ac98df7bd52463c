"""GPU code: CUDA graphs, and kernels that fuse many operations of torch into one pass.

The kernels are written in Triton, which comes with torch on Linux. Without it torch's own operators are used.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def usable(x: Tensor) -> bool:
    """Whether the kernels run on the device of x."""
    return x.device.type == "cuda" and _usable(x.device.index or 0)


def kernels(x: Tensor) -> Any:
    """The kernels for a network's layers on x, or None; they need half precision."""
    import torch

    if not torch.is_autocast_enabled("cuda") or not usable(x):
        return None
    from vqclip_nb.gpu import triton_layers

    return triton_layers


@cache
def _usable(index: int) -> bool:
    """Tried once: Triton needs a compute capability of 7 or newer, and a C compiler."""
    try:
        import torch

        from vqclip_nb.gpu import triton_layers

        x = torch.ones(1, 2, 2, 2, dtype=torch.float16, device=f"cuda:{index}")
        return bool((triton_layers.add(x, x, x[0, :, 0, 0].clone()) == 3).all())
    except Exception:  # on any compiler error use torch's operators, which are slower
        return False
