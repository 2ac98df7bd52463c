"""CUDA graphs and asynchronous copies: they keep a GPU busy that is faster than Python's launches."""

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


def replay(work: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`work(x)`, a frozen module's method; in half precision on a GPU it is recorded once as a graph and replayed.

    The next call overwrites the result and its gradient.
    """
    if x.device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
        return work(x)
    owner: nn.Module = work.__self__  # type: ignore[attr-defined]
    kind = (work.__name__, x.shape, x.dtype, x.stride(), torch.get_autocast_dtype("cuda"))
    if owner.__dict__.get("_graph", (None,))[0] != kind:
        owner.__dict__.pop("_graph", None)
        sample = x.detach().clone().requires_grad_()
        warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")  # harmless for recorded graphs
        _give_workspaces(x)
        with torch.enable_grad():
            owner.__dict__["_graph"] = kind, torch.cuda.make_graphed_callables(work, (sample,))
        _owners.add(owner)
    result: Tensor = owner.__dict__["_graph"][1](x)
    return result


def _give_workspaces(x: Tensor) -> None:
    """Make cuBLAS allocate its workspaces for the capture stream, forward and backward, before a graph is recorded.

    Allocated during recording, they would be in the graph's own memory pool, where a replay writes other values first;
    and some products read their workspace before they write it. On an H200 the gradients were nan.
    """
    kind = torch.cuda.graph
    kind.default_capture_stream = kind.default_capture_stream or torch.cuda.Stream(x.device)
    with torch.cuda.stream(kind.default_capture_stream):
        square = torch.ones(16, 16, device=x.device, dtype=torch.get_autocast_dtype("cuda"), requires_grad=True)
        torch.autograd.grad((square @ square).sum(), square)


def forget() -> None:
    """Free all graphs; they are recorded again when needed."""
    for owner in _owners:
        owner.__dict__.pop("_graph", None)
    _owners.clear()


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device; Python does not wait for a GPU."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def to_host(x: Tensor) -> Callable[[], Tensor]:
    """Start copying a GPU tensor to the CPU; the returned function waits for the copy and returns it."""
    if x.device.type != "cuda":
        return lambda: x
    copy, event = torch.empty_like(x, device="cpu", pin_memory=True), torch.cuda.Event()
    copy.copy_(x, non_blocking=True)
    event.record()

    def arrived() -> Tensor:
        event.synchronize()
        return copy

    return arrived


class Pace:
    """Keeps Python at most two steps ahead of a GPU, so that Stop takes effect soon."""

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
    """The peak memory of a CUDA device during `work`, in bytes, or None when it runs out."""
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
