"""Guide: the distance of a picture to prompts, by one perceptor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from vqclip_nb.cutouts import Cutouts
from vqclip_nb.gpu.cuda_graphs import replay, to_device
from vqclip_nb.gradients import straight_through
from vqclip_nb.objectives.distances import SigmoidLoss, great_circle
from vqclip_nb.objectives.terms import Objective
from vqclip_nb.objectives.window import Window
from vqclip_nb.perceptors import Perceptor
from vqclip_nb.rng import Draws
from vqclip_nb.schedules import Number, Schedule, tensor_at, value_at
from vqclip_nb.spans import Span


@dataclass(frozen=True)
class Target:
    """An encoded prompt.

    name: of its loss. embeddings: (1 or n, m, d), of unit length; the loss is the mean over the m. weight: below 0
    pushes away; a schedule is read at each step. span: the part of the run that it applies to, or None. stop: there is
    no gradient while the signed distance is below it.
    """

    name: str
    embeddings: Tensor
    weight: Number = 1.0
    stop: float = -torch.inf
    span: Span | None = None


@dataclass(frozen=True)
class AestheticHead:
    """A linear head that rates an embedding from 0 to 10: weight (d,), and a bias."""

    weight: Tensor
    bias: float

    def loss(self, embeddings: Tensor) -> Tensor:
        """The loss of embeddings, (n, m, d) -> (n,): 0.02 times the mean squared distance to 10 (pixray)."""
        return 0.02 * (embeddings @ self.weight + self.bias - 10).square().mean(1)


def pull(distance: Tensor, weight: Tensor, stop: Tensor) -> Tensor:
    """The signed, weighted distance, without gradient where the signed distance is below `stop` (Crowson, 2021).

    The signed distance is `distance`, or `-distance` for a negative weight. All three broadcast together.
    """
    signed = distance * weight.sign()
    return weight.abs() * straight_through(signed, torch.maximum(signed, stop))


class Guide(Objective):
    """One perceptor, its cutouts and its targets.

    cutn_at: the number of cutouts of each step, if it changes during the run; otherwise that of `cutouts` is used.
    distance: one of DISTANCES. averaging_weight: in [0, 1], the share of the loss of the mean embedding of all views,
    as in Deep Daze; the rest is the mean of the views' losses. cut_pow: that of each step, if it changes during the
    run. window: the part of the picture that is seen, or None
    for the whole. stream: the name of the random draws; default: the perceptor's name. aesthetic: an aesthetic head, or
    None; several guides share its weight.
    """

    def __init__(
        self,
        perceptor: Perceptor,
        cutouts: Cutouts,
        targets: Sequence[Target],
        *,
        cutn_at: Callable[[int], int] | None = None,
        distance: Callable[[Tensor, Tensor], Tensor] = great_circle,
        averaging_weight: Number = 0.0,
        cut_pow: Schedule | None = None,
        window: Window | None = None,
        stream: str | None = None,
        aesthetic: AestheticHead | None = None,
        aesthetic_weight: Number = 0.0,
    ) -> None:
        self.perceptor, self.cutouts, self.cutn_at = perceptor, cutouts, cutn_at
        self.distance, self.averaging_weight, self.cut_pow = distance, averaging_weight, cut_pow
        self.aesthetic, self.aesthetic_weight, self.aesthetic_share = aesthetic, aesthetic_weight, 1.0
        self.window, self.stream = window, stream or perceptor.name
        self.names = [target.name for target in targets]
        self.counts = [target.embeddings.shape[1] for target in targets]
        pictures = max(target.embeddings.shape[0] for target in targets)
        self.embeddings = torch.cat([t.embeddings.expand(pictures, -1, -1) for t in targets], 1)  # (1 or n, T, d)
        self._targets = targets
        self.weights = self._weights_at(0, 0.0)  # (T,)
        self.stops = self._per_embedding([t.stop for t in targets])  # (T,)

    def __call__(self, image: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """One loss per target, each (n,)."""
        cutouts = replace(self.cutouts, cutn=self.cutn_at(draws.step)) if self.cutn_at else self.cutouts
        if self.cut_pow:
            cutouts = replace(cutouts, cut_pow=self.cut_pow.at(draws.step, progress))
        part = image if self.window is None else self.window(image)
        views = cutouts(part, draws.of(self.stream), progress)
        with self.precision.within(views.device):
            embeddings = self._encoded(views)
        embeddings = embeddings.unflatten(0, (len(image), -1))  # (n, cutn, d)
        if any(target.span or isinstance(target.weight, Schedule) for target in self._targets):
            self.weights = self._weights_at(draws.step, progress)
        losses = self._pulls(embeddings).mean(1)  # (n, T)
        if self.averaging_weight:
            mean = torch.nn.functional.normalize(embeddings.mean(1, keepdim=True), dim=-1)
            weight = tensor_at(self.averaging_weight, draws.step, progress, losses.device)
            losses = losses.lerp(self._pulls(mean)[:, 0], weight)
        result: dict[str, Tensor] = {}
        for name, part in zip(self.names, losses.split(self.counts, 1), strict=True):
            result[name] = result.get(name, 0) + part.sum(1)  # a repeated text counts twice
        if self.aesthetic:
            aesthetic_weight = tensor_at(self.aesthetic_weight, draws.step, progress, embeddings.device)
            result["aesthetic"] = self.aesthetic_share * aesthetic_weight * self.aesthetic.loss(embeddings)
        return result

    def _pulls(self, embeddings: Tensor) -> Tensor:
        """The loss of each view for each target embedding: (n, m, d) -> (n, m, T)"""
        pair = embeddings[:, :, None], self.embeddings[:, None]
        distance = self.distance(*pair)
        if isinstance(self.distance, SigmoidLoss):  # `pull` negates it again for negative weights
            distance = torch.where(self.weights < 0, -self.distance.away(*pair), distance)
        return pull(distance, self.weights, self.stops)

    def _encoded(self, views: Tensor) -> Tensor:
        """The views' embeddings, (m, d). If there are several parts, each is recomputed alone in the backward pass."""
        if self.parts == 1:
            # A CUDA graph holds one number of views, so that none is recorded if the number changes.
            return self.perceptor.encode_image(views) if self.cutn_at else replay(self.perceptor.encode_image, views)
        from torch.utils.checkpoint import checkpoint

        parts = views.chunk(self.parts)
        again = partial(checkpoint, self.perceptor.encode_image, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(part) for part in parts])

    def _weights_at(self, step: int, progress: float) -> Tensor:
        """The weight of each embedding after `step` steps, (T,)."""
        weights = [
            value_at(target.weight, step, progress) * (target.span.share(progress) if target.span else 1)
            for target in self._targets
        ]
        return self._per_embedding([weight / count for weight, count in zip(weights, self.counts, strict=True)])

    def _per_embedding(self, values: Sequence[float]) -> Tensor:
        """One value per target, repeated for each of its embeddings. Nothing waits for the device."""
        tensor = torch.tensor(values).repeat_interleave(torch.tensor(self.counts)).to(self.embeddings.dtype)
        return to_device(tensor, self.embeddings.device)
