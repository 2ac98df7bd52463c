"""The chart of the losses, as SVG."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import floor, log10

HUES = (
    "#3c8dd0",
    "#d2691e",
    "#2a9d5c",
    "#bb55bb",
    "#b8860b",
    "#d9534a",
    "#7a86d8",
    "#3a9a9a",
)  # legible on white and on black
COLUMNS = 60  # columns that show their values under the pointer
LEFT, BOTTOM, TOP, RIGHT = 52, 30, 8, 8  # margins in pixels
Curves = Mapping[str, Sequence[tuple[int, float]]]


def chart(curves: Curves, *, width: int = 420, height: int = 150) -> str:
    """Losses against steps on one axis, as SVG. A curve that ended before the last step is grey and has no legend.

    curves: pairs (step, loss) in the order of steps, by name. width, height: in pixels. The pointer shows a step and
    its losses.
    """
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    last = max((points[-1][0] for points in curves.values()), default=0)
    if last < 2:
        return ""
    first = min(points[0][0] for points in curves.values())
    values = [value for points in curves.values() for _, value in points]
    ticks = _ticks(min(values), max(values))
    low, high = min(ticks[0], *values), max(ticks[-1], *values)
    across = lambda step: LEFT + (step - first) / max(last - first, 1) * (width - LEFT - RIGHT)  # noqa: E731
    down = lambda value: TOP + (high - value) / ((high - low) or 1) * (height - TOP - BOTTOM)  # noqa: E731
    current = [name for name, points in curves.items() if points[-1][0] == last]
    hues = {name: HUES[index % len(HUES)] for index, name in enumerate(current)}
    grid = "".join(
        f'<line class="vq-grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>'
        f'<text x="{LEFT - 5}" y="{down(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in ticks
    )
    steps = "".join(
        f'<text x="{across(step):.1f}" y="{height - BOTTOM + 14}" text-anchor="{"end" if step == last else "middle"}">'
        f"{step}</text>"
        for step in dict.fromkeys((first, (first + last) // 2, last))
    )
    places = {name: " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points) for name, points in curves.items()}
    lines = "".join(
        f'<polyline points="{places[name]}" fill="none" stroke="{hues.get(name, "#888")}" stroke-width="1.5" '
        f'opacity="{1 if name in hues else 0.45}"/>'
        for name in curves
    )
    titles = (
        f'<text x="{(LEFT + width - RIGHT) / 2}" y="{height - 4}" text-anchor="middle">Step</text>'
        f'<text transform="translate(9 {(TOP + height - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">Loss</text>'
    )
    visible = {name: curves[name] for name in current}
    label = escape("Loss of each prompt against the steps: " + ", ".join(current), quote=True)
    return (
        f'<svg class="vq-chart" role="img" aria-label="{label}" viewBox="0 0 {width} {height}">'
        f"{grid}{steps}{titles}{lines}{_columns(visible, hues, across, (first, last), (width, height))}</svg>"
        f'<div class="vq-small">{" &nbsp; ".join(_legend(name, visible[name], hues[name]) for name in current)}</div>'
    )


def _columns(
    curves: Curves,
    hues: Mapping[str, str],
    across: Callable[[float], float],
    span: tuple[int, int],
    size: tuple[int, int],
) -> str:
    """Columns over the chart, each with the values that it shows under the pointer."""
    (first, last), (width, height) = span, size
    count = min(COLUMNS, last - first + 1)
    wide = (width - LEFT - RIGHT) / count
    parts = []
    for index in range(count):
        step = first + round(index * (last - first) / max(count - 1, 1))
        x = across(step)
        values = {name: min(points, key=lambda point: abs(point[0] - step))[1] for name, points in curves.items()}
        text = "".join(f'<tspan fill="{hues[name]}"> {value:.3f}</tspan>' for name, value in values.items())
        anchor = "start" if index < count / 2 else "end"
        parts.append(
            f'<g class="vq-column"><rect x="{x - wide / 2:.1f}" y="0" width="{wide:.1f}" height="{height}"/>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
            f'<text x="{x + (4 if anchor == "start" else -4):.1f}" y="{TOP + 8}" text-anchor="{anchor}">'
            f"step {step}{text}</text></g>"
        )
    return "".join(parts)


def _legend(name: str, points: Sequence[tuple[int, float]], hue: str) -> str:
    short = name if len(name) <= 40 else name[:39] + "…"
    return f'<span style="color:{hue}">&#9632;</span> {escape(short)} {points[-1][1]:.3f}'


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that span a range."""
    span = (high - low) or abs(high) or 1.0
    unit = 10 ** floor(log10(span / 4))
    step = next(unit * times for times in (1, 2, 5, 10) if span / (unit * times) <= 5)
    begin = floor(low / step)
    count = 1
    while (begin + count) * step < high:
        count += 1
    return [round((begin + index) * step, 10) for index in range(count + 1)]
