"""Breaking off: Stop takes effect inside a long computation, between two layers of a network."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def between_layers(check: Callable[[], object]) -> Iterator[None]:
    """Context manager that calls `check` before each layer that this thread computes; it may raise.

    Use it only where nothing is kept of a computation that does not end. Nothing is called while CUDA records a graph,
    which an error would spoil.
    """
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    here, on_gpu = threading.get_ident(), torch.cuda.is_available()

    def before_layer(*_: Any) -> None:
        if threading.get_ident() == here and not (on_gpu and torch.cuda.is_current_stream_capturing()):
            check()

    hook = register_module_forward_pre_hook(before_layer)
    try:
        yield
    finally:
        hook.remove()
