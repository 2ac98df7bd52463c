"""Recording: on a GPU a training step is recorded once and then replayed whole.

A step is thousands of small kernels, and Python hands them out more slowly than a fast GPU does them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Recorded:
    """`work`, recorded at its fourth call with `record`, which wants a stream that is not the device's first.

    It must read nothing back of the GPU and draw no number outside it; what it reads must stay in its place and be
    filled anew there; what it returns is overwritten by the next call.
    """

    WARM = 3  # calls that let libraries choose and allocate what they need

    def __init__(self, work: Callable[[], Tensor], *, record: bool) -> None:
        self.work, self.record, self.calls = work, record, 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> Tensor:
        self.calls += 1
        if not self.record or self.calls <= self.WARM:
            return self.work()
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream()):
                self.result = self.work()
        self.graph.replay()
        return self.result
