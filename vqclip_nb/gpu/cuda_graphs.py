"""Flow: what keeps a fast GPU busy, which does its work sooner than Python hands it out."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from vqclip_nb import oom

_owners: WeakSet[nn.Module] = WeakSet()


def replayed(work: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`work(x)`, a frozen module's method; in half precision on a GPU recorded once and then replayed whole.

    What it returns, and what a gradient becomes, is overwritten by the next call.
    """
    if x.device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
        return work(x)
    owner: nn.Module = work.__self__  # type: ignore[attr-defined]
    kind = (work.__name__, x.shape, x.dtype, x.stride(), torch.get_autocast_dtype("cuda"))
    if owner.__dict__.get("_graph", (None,))[0] != kind:
        owner.__dict__.pop("_graph", None)
        sample = x.detach().clone().requires_grad_()
        warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")  # of what was recorded; no harm in it
        _give_workspaces(x)
        with torch.enable_grad():
            owner.__dict__["_graph"] = kind, torch.cuda.make_graphed_callables(work, (sample,))
        _owners.add(owner)
    result: Tensor = owner.__dict__["_graph"][1](x)
    return result


def _give_workspaces(x: Tensor) -> None:
    """Let cuBLAS take its workspaces for the stream that graphs are recorded on, both ways, before one is.

    Taken while recording they would lie where the same graph, each time it is replayed, writes other things first; and
    there are products that read theirs before they write it. Seen on an H200 as gradients that are not numbers.
    """
    kind = torch.cuda.graph
    kind.default_capture_stream = kind.default_capture_stream or torch.cuda.Stream(x.device)
    with torch.cuda.stream(kind.default_capture_stream):
        square = torch.ones(16, 16, device=x.device, dtype=torch.get_autocast_dtype("cuda"), requires_grad=True)
        torch.autograd.grad((square @ square).sum(), square)


def forget() -> None:
    """Give back the memory of all that was recorded; it is recorded again when it is wanted."""
    for owner in _owners:
        owner.__dict__.pop("_graph", None)
    _owners.clear()


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """A CPU's tensor on a device; a GPU need not have done its work before Python goes on."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def to_host(x: Tensor) -> Callable[[], Tensor]:
    """A copy of a GPU's tensor on its way to the CPU; calling what this gives waits until it is there."""
    if x.device.type != "cuda":
        return lambda: x
    there, event = torch.empty_like(x, device="cpu", pin_memory=True), torch.cuda.Event()
    there.copy_(x, non_blocking=True)
    event.record()

    def arrived() -> Tensor:
        event.synchronize()
        return there

    return arrived


class Pace:
    """Keeps Python at most two steps ahead of a GPU, so that Stop is heard in time."""

    def __init__(self, device: torch.device) -> None:
        self.events: deque[Any] | None = deque() if device.type == "cuda" else None

    def wait(self) -> None:
        """Wait for the step before the last."""
        if self.events is None:
            return
        event = torch.cuda.Event()
        event.record()
        self.events.append(event)
        if len(self.events) > 2:
            self.events.popleft().synchronize()


def peak(work: Callable[[], object], device: torch.device) -> int | None:
    """The bytes that a CUDA device holds at most while `work` is done, or None when it runs out of them."""
    torch.cuda.reset_peak_memory_stats(device)
    try:
        work()
    except RuntimeError as error:
        if not oom.ran_out(error):
            raise
        return None
    finally:
        oom.release(device)
    return torch.cuda.max_memory_allocated(device)
