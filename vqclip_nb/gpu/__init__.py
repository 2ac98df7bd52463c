"""What a GPU alone needs: how it is kept busy (flow), and kernels that do in one pass what torch does in many.

The kernels are written in Triton, which comes with torch on Linux. Without it torch's own operators do the same.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def usable(x: Tensor) -> bool:
    """Whether the kernels run where x is."""
    return x.device.type == "cuda" and _usable(x.device.index or 0)


def kernels(x: Tensor) -> Any:
    """The kernels for what a network computes of x, or None: they are for half precision."""
    import torch

    if not torch.is_autocast_enabled("cuda") or not usable(x):
        return None
    from vqclip_nb.gpu import triton_layers

    return triton_layers


@cache
def _usable(index: int) -> bool:
    """Tried once: Triton wants a compute capability of 7 or newer, and a C compiler."""
    try:
        import torch

        from vqclip_nb.gpu import triton_layers

        x = torch.ones(1, 2, 2, 2, dtype=torch.float16, device=f"cuda:{index}")
        return bool((triton_layers.added(x, x, x[0, :, 0, 0].clone()) == 3).all())
    except Exception:  # whatever a compiler says: torch's own operators do the same, only slower
        return False
