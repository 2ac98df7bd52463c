"""Distances: how far what a perceptor sees is from what a prompt means. All take unit vectors, (..., d) -> (...)."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import softplus


def great_circle(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared great-circle distance of unit vectors, 2 arcsin(|x - y| / 2)², in [0, 4.93] (Crowson, 2021)."""
    return (x - y).norm(dim=-1).div(2).arcsin().square().mul(2)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """-100 times the cosine, in [-100, 100]: Big Sleep's and Deep Daze's."""
    return -100 * (x * y).sum(-1)


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Minus the dot product, in [-1, 1]: Aphantasia's plain cosine, since the vectors are of unit length."""
    return -(x * y).sum(-1)


class SigmoidLoss:
    """SigLIP's loss of a pair, -log sigmoid(scale cos + bias), and `away` for a pair that does not belong together.

    In Zhai et al., 2023, scale and bias are learned with the network; `scale` is its exponential.
    """

    def __init__(self, scale: float, bias: float) -> None:
        self.scale, self.bias = scale, bias

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return softplus(-(self.scale * (x * y).sum(-1) + self.bias))

    def away(self, x: Tensor, y: Tensor) -> Tensor:
        return softplus(self.scale * (x * y).sum(-1) + self.bias)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"great-circle": great_circle, "cosine": cosine, "dot": dot}
