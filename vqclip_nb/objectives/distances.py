"""Distances between the embeddings of a view and of a prompt. All take unit vectors, (..., d) -> (...)."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import softplus


def great_circle(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared great-circle distance of unit vectors, 2 arcsin(|x - y| / 2)², in [0, 4.93] (Crowson, 2021)."""
    return (x - y).norm(dim=-1).div(2).arcsin().square().mul(2)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """-100 times the cosine, in [-100, 100], as in Big Sleep and Deep Daze."""
    return -100 * (x * y).sum(-1)


def dot(x: Tensor, y: Tensor) -> Tensor:
    """The negative dot product, in [-1, 1], as in Aphantasia (the cosine, since the vectors have unit length)."""
    return -(x * y).sum(-1)


class SigmoidLoss:
    """SigLIP's loss of a matching pair, -log sigmoid(scale cos + bias), and `away`, that of a mismatch.

    Scale and bias are learned with the network (Zhai et al., 2023); `scale` is the exponential of the learned one.
    """

    def __init__(self, scale: float, bias: float) -> None:
        self.scale, self.bias = scale, bias

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return softplus(-(self.scale * (x * y).sum(-1) + self.bias))

    def away(self, x: Tensor, y: Tensor) -> Tensor:
        return softplus(self.scale * (x * y).sum(-1) + self.bias)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"great-circle": great_circle, "cosine": cosine, "dot": dot}
