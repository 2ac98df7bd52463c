"""Distances: how far what a perceptor sees is from what a prompt means. All take unit vectors, (..., d) -> (...)."""

from collections.abc import Callable

from torch import Tensor


def great_circle(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared great-circle distance of unit vectors, 2 arcsin(|x - y| / 2)², in [0, 4.93] (Crowson, 2021)."""
    return (x - y).norm(dim=-1).div(2).arcsin().square().mul(2)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """-100 times the cosine, in [-100, 100]: Big Sleep's and Deep Daze's."""
    return -100 * (x * y).sum(-1)


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Minus the dot product, in [-1, 1]: Aphantasia's plain cosine, since the vectors are of unit length."""
    return -(x * y).sum(-1)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"great-circle": great_circle, "cosine": cosine, "dot": dot}
