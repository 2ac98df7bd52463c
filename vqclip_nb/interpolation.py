"""Interpolation: pictures between the results of several runs, by their canvas parameters."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from vqclip_nb import images
from vqclip_nb.errors import RunError
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.session import restore_painting
from vqclip_nb.symmetry import make_symmetric

if TYPE_CHECKING:
    from vqclip_nb.painting import Painting


def between(first: Tensor, second: Tensor, share: float, *, spherical: bool) -> Tensor:
    """Interpolate two tensors, (n, c, ...), at `share` in [0, 1] of the way.

    Linear, or spherical: the vectors along the second dimension turn evenly, and their lengths change linearly
    (Shoemake, 1985).
    """
    straight = first.lerp(second, share)
    if not spherical:
        return straight
    lengths = [value.norm(dim=1, keepdim=True).clamp(min=1e-12) for value in (first, second)]
    one, other = first / lengths[0], second / lengths[1]
    angle = (one * other).sum(1, keepdim=True).clamp(-1, 1).acos()
    curve = (((1 - share) * angle).sin() * one + (share * angle).sin() * other) / angle.sin().clamp(min=1e-12)
    degenerate = (angle < 1e-4) | (angle > torch.pi - 1e-4)  # vectors along one line have no unique arc
    return torch.where(degenerate, straight, curve * lengths[0].lerp(lengths[1], share))


def pictures_between(
    folders: Sequence[Path], frames: int, *, loop: bool = False, run_options: dict[str, Any] | None = None
) -> Iterator[Image.Image]:
    """Yield `frames` pictures for the way from each run's last picture to the next run's, then the last run's picture.

    With `loop` the way returns to the first run instead. Of several variations the first is used. Raises RunError when
    the runs do not share canvas and size.
    """
    paintings = [_last(folder, run_options or {}) for folder in folders]
    first = paintings[0].settings
    for folder, painting in zip(folders, paintings, strict=True):
        settings = painting.settings
        for name in ("canvas", "canvas_options", "size"):
            if getattr(settings, name) != getattr(first, name):
                problem = f"{str(folder)!r} has {name} {getattr(settings, name)} and {str(folders[0])!r}"
                raise RunError(f"runs must share canvas and size: {problem} {getattr(first, name)}")
    keys = [_final_parameters(painting) for painting in paintings]
    keys += keys[:1] if loop else []
    canvas_painting = paintings[0]
    for one, other in pairwise(keys):
        for index in range(frames):
            yield _render(canvas_painting, one, other, index / frames)
    if not loop:
        yield _render(canvas_painting, one, other, 1.0)


@torch.no_grad()
def _render(painting: "Painting", one: Sequence[Tensor], other: Sequence[Tensor], share: float) -> Image.Image:
    """The picture of interpolated parameters."""
    spherical = painting.canvas.spherical
    for parameter, begin, end in zip(painting.learnable, one, other, strict=True):
        parameter.copy_(between(begin, end, share, spherical=spherical))
    return images.to_pils(make_symmetric(painting.canvas(), painting.settings.symmetry))[0]


@torch.no_grad()
def _final_parameters(painting: "Painting") -> list[Tensor]:
    """The parameters of a painting's result: averaged and tidied, if its settings say so."""
    average = painting.averages.values(painting.settings.average, painting.step_count)
    for parameter, value in zip(painting.learnable, average or painting.learnable, strict=True):
        parameter.copy_(value)
    if painting.tidy_every:
        painting.canvas.tidy()
    return [parameter.clone() for parameter in painting.learnable]


def _last(folder: Path, run_options: dict[str, Any]) -> "Painting":
    """A run's painting, restored from its latest state."""
    info = RunInfo.read(folder)
    if (state := info.latest()) is None:
        raise RunError(f"the run {str(folder)!r} has kept no state to begin from")
    painting = restore_painting(info, state, run_options)
    if painting.settings.variations > 1:
        from vqclip_nb.timeline import Edit

        painting.apply(Edit({}, variation=1))
    return painting
