"""Markup: the Studio's HTML. All text that is not ours is escaped here, and nowhere else made into HTML."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

STYLE = """<style>
.vq-studio { width: 100%; max-width: 1180px; padding: 4px; container-type: inline-size; }
.vq-studio .vq-parts { display: grid; gap: 4px 20px; grid-template: "words seen" auto "choices seen" 1fr
  / minmax(290px, 1fr) minmax(290px, 1fr); }
.vq-studio .vq-words { grid-area: words; }
.vq-studio .vq-seen { grid-area: seen; }
.vq-studio .vq-seen > * { max-width: 512px; }
.vq-studio .vq-choices { grid-area: choices; }
@container (max-width: 620px) {
  .vq-studio .vq-parts { grid-template: "words" auto "seen" auto "choices" auto / minmax(0, 1fr); }
}
.vq-studio select { background-image: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 18 18'%3E%3Cpath d='M4 7l5 5 5-5' fill='none' stroke='%23808080' stroke-width='2'/%3E%3C/svg%3E"); }
.vq-studio .vq-prompt textarea { font-size: 16px; line-height: 1.4; padding: 8px; }
.vq-studio .vq-prompt > label, .vq-studio .vq-heard > label { position: absolute; width: 1px; height: 1px;
  overflow: hidden; clip-path: inset(50%); }
.vq-studio .vq-chips { flex-flow: row wrap; }
.vq-studio .vq-chip { width: auto; height: 26px; line-height: 24px; padding: 0 10px; border-radius: 13px;
  font-size: 12px; }
.vq-studio .vq-main { font-weight: 600; }
.vq-studio .vq-actions { gap: 4px; margin: 6px 0; }
.vq-studio .vq-actions button { flex: 1 1 80px; height: 34px; line-height: 32px; }
.vq-studio .vq-picture img, .vq-studio img.vq-picture { width: 100%; max-width: 512px; height: auto;
  border-radius: 4px; }
.vq-studio .vq-small { font-size: 12px; opacity: .8; line-height: 1.4; }
.vq-studio .vq-empty { max-width: 512px; aspect-ratio: 1; display: flex; align-items: center; justify-content: center;
  text-align: center; border: 1px dashed rgba(128,128,128,.6); border-radius: 4px; padding: 16px;
  box-sizing: border-box; }
.vq-studio .progress-bar { transition: none; }
.vq-studio .vq-status { font-variant-numeric: tabular-nums; line-height: 1.4; }
.vq-studio .vq-trouble { border-left: 4px solid #d33; background: rgba(221,51,51,.12); padding: 8px 12px;
  line-height: 1.4; }
.vq-studio .vq-note { border-left: 4px solid #c80; background: rgba(204,136,0,.12); padding: 6px 12px;
  line-height: 1.4; }
.vq-studio .vq-good { border-left: 4px solid #284; background: rgba(34,136,68,.12); padding: 6px 12px;
  line-height: 1.4; }
.vq-studio pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; line-height: 1.35;
  user-select: all; }
.vq-studio .vq-link { display: inline-block; padding: 4px 14px; margin: 2px 6px 2px 0; border-radius: 3px;
  background: #1a6fb5; color: #fff !important; text-decoration: none; font-size: 13px; }
.vq-studio .vq-cards, .vq-studio .vq-thumbs { flex-flow: row wrap; gap: 10px; }
.vq-studio .vq-card { width: 150px; }
.vq-studio .vq-card .widget-html { line-height: 1.25; }
.vq-studio .vq-card button { width: 100%; }
.vq-studio .widget-label { overflow: visible; }
</style>"""
HUES = ("#3c8dd0", "#d2691e", "#2a9d5c", "#bb55bb", "#b8860b", "#d9534a", "#7a86d8", "#3a9a9a")  # on white and on black


def trouble(said: str, details: str = "") -> str:
    """What went wrong; the details behind a fold."""
    folded = f"<details><summary>Details</summary><pre>{escape(details)}</pre></details>" if details else ""
    return f'<div class="vq-trouble" role="alert">{escape(said)}{folded}</div>'


def notes(said: Iterable[str]) -> str:
    """Sentences that a person should see."""
    return "".join(f'<div class="vq-note" role="status">{escape(line)}</div>' for line in said)


def good(said: str) -> str:
    """A sentence that is no trouble."""
    return f'<div class="vq-good" role="status">{escape(said)}</div>'


def small(said: str) -> str:
    """A line in small letters."""
    return f'<div class="vq-small">{escape(said)}</div>'


def status(said: str) -> str:
    """The line below the bar; it changes too often to be read out."""
    return f'<div class="vq-status">{escape(said)}</div>'


def empty(said: str) -> str:
    """What stands where the picture will be."""
    return f'<div class="vq-empty">{escape(said)}</div>'


def code(text: str) -> str:
    """Code to copy: a click selects it."""
    return f"<pre>{escape(text)}</pre>"


def near(path: Path) -> str:
    """A path as it is seen from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def link(path: Path, said: str) -> str:
    """A file that a click saves, the file itself within the link."""
    data = base64.b64encode(path.read_bytes()).decode()
    name = escape(path.name, quote=True)
    return f'<a class="vq-link" download="{name}" href="data:application/octet-stream;base64,{data}">{escape(said)}</a>'


def link_to(address: str, said: str) -> str:
    """A file that is too large to lie within the page, by the address at which a click saves it."""
    return f'<a class="vq-link" href="{escape(address, quote=True)}" download>{escape(said)}</a>'


def chart(curves: Mapping[str, Sequence[tuple[int, float]]], *, width: int = 512, height: int = 96) -> str:
    """Losses against steps, a line for each name, each from its own lowest to its highest value."""
    lines, names = [], []
    last = max((points[-1][0] for points in curves.values() if points), default=0)
    for index, (name, points) in enumerate(curves.items()):
        values = [value for _, value in points]
        if last < 2 or len(values) < 2:
            continue
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        at = " ".join(
            f"{(step - 1) / (last - 1) * width:.1f},{4 + (high - value) / span * (height - 8):.1f}"
            for step, value in points
        )
        hue = HUES[index % len(HUES)]
        lines.append(f'<polyline points="{at}" fill="none" stroke="{hue}" stroke-width="1.5"/>')
        short = name if len(name) <= 40 else name[:39] + "…"
        names.append(f'<span style="color:{hue}">&#9632;</span> {escape(short)} {values[-1]:.3f}')
    if not lines:
        return ""
    label = escape("Loss of each prompt against the steps: " + ", ".join(curves), quote=True)
    return (
        '<div class="vq-small">Distance from your words: lower is nearer</div>'
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" width="100%" '
        f'style="max-width:{width}px;display:block">{"".join(lines)}</svg>'
        f'<div class="vq-small">{" &nbsp; ".join(names)}</div>'
    )
