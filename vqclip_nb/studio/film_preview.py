"""The preview of a film: its length, where the camera goes, and the course of each number that changes, as SVG."""

from collections.abc import Sequence
from html import escape

from vqclip_nb.fields import fields
from vqclip_nb.film_fields import DEFAULT_FPS
from vqclip_nb.moves import Matrix, Move, apply, product
from vqclip_nb.schedules import Schedule
from vqclip_nb.settings import Settings
from vqclip_nb.studio.chart import HUES

_SIDE = 120  # pixels of the drawing of the camera
_AHEAD = 12  # frames whose outline is drawn
_WIDE, _HIGH = 150, 26  # pixels of a curve
_POINTS = 60  # of a curve


def preview(settings: Settings) -> str:
    """The preview, as HTML; a sentence where settings paint one picture."""
    if not settings.frame_steps:
        return '<div class="vq-small">One picture. For a film, set steps per frame to 4 or more.</div>'
    frames, fps = settings.frame_count(settings.steps), settings.fps or DEFAULT_FPS
    length = f"{frames} frames, {frames / fps:.1f} seconds at {fps:g} a second"
    return (
        f'<div class="vq-film"><div>{_camera(settings)}</div><div>{"".join(_curves(settings))}'
        f'<div class="vq-small">{length}. Numbers may be keyframes by step, 0:(1), 60:(1.02), or a formula of the step '
        "t: 0.5*sin(t/40).</div></div></div>"
    )


def outlines(settings: Settings) -> list[list[tuple[float, float]]]:
    """The corners of the first frame, and where those of the next frames lie in it, in pixels from its middle."""
    (width, height), so_far = settings.size, None
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    result = [corners]
    count = min(settings.frame_count(settings.steps) - 1, _AHEAD)
    for frame in range(1, count + 1):
        step = Move.at(settings, settings.steps_for(frame)).source(width, height)
        so_far = step if so_far is None else product(so_far, step)
        result.append(_places(so_far, corners))
    return result


def _places(matrix: Matrix, corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [apply(matrix, *corner) for corner in corners]


def _camera(settings: Settings) -> str:
    """The outline of each next frame over the frame."""
    width, height = settings.size
    scale = _SIDE / max(width, height)
    shapes = []
    for index, corners in enumerate(outlines(settings)):
        points = " ".join(f"{(x + width / 2) * scale:.1f},{(y + height / 2) * scale:.1f}" for x, y in corners)
        opacity = 1.0 if index == 0 else max(0.15, 0.8 - index / _AHEAD * 0.65)
        stroke = "#888" if index == 0 else HUES[0]
        shapes.append(f'<polygon points="{points}" fill="none" stroke="{stroke}" opacity="{opacity:.2f}"/>')
    label = "Where the next frames lie in this one"
    return (
        f'<svg role="img" aria-label="{label}" width="{_SIDE + 20}" height="{height * scale + 20:.0f}" '
        f'viewBox="-10 -10 {_SIDE + 20} {height * scale + 20:.0f}"><title>{label}</title>{"".join(shapes)}</svg>'
    )


def _curves(settings: Settings) -> list[str]:
    """A small curve for each number that changes along the run."""
    drawn = []
    for spec in fields(settings):
        if not isinstance(number := settings.value(spec.name), Schedule):
            continue
        steps = [round(index * (settings.steps - 1) / (_POINTS - 1)) for index in range(_POINTS)]
        values = [number.at(step, step / settings.steps) for step in steps]
        low, high = min(values), max(values)
        points = " ".join(
            f"{index / (_POINTS - 1) * _WIDE:.1f},{2 + (high - value) / ((high - low) or 1) * (_HIGH - 4):.1f}"
            for index, value in enumerate(values)
        )
        title = escape(spec.title)
        drawn.append(
            f'<div class="vq-small">{title}: {low:.4g} to {high:.4g}</div>'
            f'<svg role="img" aria-label="{title} along the run" width="{_WIDE}" height="{_HIGH}">'
            f'<polyline points="{points}" fill="none" stroke="{HUES[1]}" stroke-width="1.5"/></svg>'
        )
    return drawn
