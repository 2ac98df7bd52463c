"""Session: builds a painting from settings and runs it. The only module that knows canvases, perceptors and terms."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from vqclip_nb import canvases, device, drawn_things, embedded, images, models, perceptors, relay
from vqclip_nb.canvases import Canvas
from vqclip_nb.errors import PaintWarning, RunError, SettingsError
from vqclip_nb.film_frames import FilmFrames
from vqclip_nb.frame import Frame
from vqclip_nb.objectives.build import Builder
from vqclip_nb.objectives.window import cropped_masks
from vqclip_nb.overlay import Overlay
from vqclip_nb.painting import Painting, run
from vqclip_nb.rng import Draws
from vqclip_nb.runs import layout, metadata
from vqclip_nb.runs.background_writer import check_unlocked
from vqclip_nb.runs.creation import check_out
from vqclip_nb.runs.reader import RunInfo, inputs_of, refuse_paths
from vqclip_nb.runs.writer import RunWriter
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

LR_SCALE = 0.01  # of the canvas's step size, after a start from the prior: larger steps lose the drawing


def paint(settings: Settings) -> Iterator[Frame]:
    """Paint, and yield a frame with a picture after every step.

    Nothing is written to disk. Raises ValueError, in one line, for a model, picture or device that is not there, and
    NotANumber when a loss diverges.
    """
    yield from run(build_painting(settings), look=True)


def build_painting(
    settings: Settings, *, inputs: Path | None = None, state: Mapping[str, Any] | None = None
) -> Painting:
    """A painting before its first step, or restored from `state`.

    Pictures named by their sha256 are looked up in the folder `inputs`."""
    target = device.choose(settings.device)
    for sentence in [] if state else [*settings.unreached, *cropped_masks(settings, inputs=inputs)]:
        warnings.warn(sentence, PaintWarning, stacklevel=2)
    canvas = canvases.make(
        settings.canvas, size=settings.size, seeds=settings.seeds, options=settings.canvas_options
    ).to(target)
    canvas.tiled = settings.seamless
    overlay, film = Overlay.of(settings, inputs=inputs), FilmFrames.of(settings, inputs=inputs)
    text = drawn_things.drawn_by_prior(settings)
    if settings.init_image and not state:
        pil = overlay.picture if overlay else _input_picture(settings.init_image, "init_image", inputs)
        canvas.start_from(images.to_tensor(images.covering(pil, settings.size)).to(target))
    elif film and film.video and not state:
        canvas.start_from(film.frame(0, canvas().detach()))
    elif text and not state:
        canvas.start_from(_prior_picture(text, settings, canvas, target))
    networks = _Networks(target)
    served = [networks[name] for name in drawn_things.perceptors(settings.perceptor, settings.prompt)]
    build = Builder(canvas, networks, device=target, inputs=inputs)
    precision = device.precision(target, side=max(network.cut_size for each in served for network in each))
    painting = Painting(settings, canvas, build, precision=precision, inputs=inputs, overlay=overlay, before_step=film)
    if state:
        painting.load_state_dict(state)
    else:
        painting.lr_scale = LR_SCALE if text else 1.0
        painting.check_relay()
    return painting


class _Networks(dict[str, list[perceptors.CLIPPerceptor]]):
    """The networks of perceptors by name, loaded on first use: a prompt may name a drawn thing only later."""

    def __init__(self, target: torch.device) -> None:
        self.target = target

    def __missing__(self, name: str) -> list[perceptors.CLIPPerceptor]:
        self[name] = [network.to(self.target) for network in perceptors.load(name)]
        return self[name]


def _prior_picture(text: str, settings: Settings, canvas: Canvas, target: torch.device) -> Tensor:
    """The prior's drawing of a text for each seed, mixed with the canvas's noise: (n, 3, H, W) RGB in [0, 1].

    The drawing is square; its edges are repeated to fill another shape.
    """
    noise = canvas().detach()
    prior = models.load_prior()
    each = [prior.pictures(text, Draws((seed,), owner="prior/")) for seed in settings.seeds]  # as if painted alone
    height, width = noise.shape[-2:]
    side = min(height, width)
    square = interpolate(torch.cat(each).to(target), (side, side), mode="bicubic", antialias=True).clamp(0, 1)
    left, top = (width - side) // 2, (height - side) // 2
    drawing = pad(square, (left, width - side - left, top, height - side - top), mode="replicate")
    return noise + settings.start_strength * (drawing - noise)


@dataclass
class ActiveRun:
    """A painting and the run folder it is saved in. Iterate to paint.

    `finish` paints the steps that are left and ends the run; `record.finish(painting)` ends it at once.

    until: the step to stop after, or None.
    """

    painting: Painting
    record: RunWriter
    until: int | None = None

    def __iter__(self) -> Iterator[Frame]:
        for frame in run(self.painting, until=self.until):
            self.record.add(frame, self.painting)
            yield frame

    def finish(self) -> Path:
        """Paint the steps that are left, write the picture and the film, and return the picture's path."""
        for _ in self:
            pass
        return self.record.finish(self.painting)


def start(settings: Settings, *, inputs: Path | None = None, name: str | None = None) -> ActiveRun:
    """A new run in a folder of its own, called `name` if given.

    Raises what `build_painting` and `RunWriter.create` raise, before anything is written."""
    check_out(settings.out)
    painting = build_painting(settings, inputs=inputs)
    return ActiveRun(painting, RunWriter.create(settings, inputs=inputs, name=name))


def resume(
    folder: Path, *, step: int | None = None, change: Edit | None = None, run_options: Mapping[str, Any] | None = None
) -> ActiveRun:
    """Continue a run from its latest state, or from an earlier `step` with a saved state; later steps are deleted.

    `change` is applied first; if it is given, even empty, at least one step must be left. `run_options` are settings
    that do not change the picture, such as the device. On the same machine the pixels are those of an uninterrupted
    run. Raises RunError (also for a run that another process is painting), SettingsError and PictureError; then nothing
    is deleted."""
    info = RunInfo.read(folder)
    layout.check(folder)
    check_unlocked(folder)  # before the models are loaded
    state = info.latest() if step is None else info.state(step)
    painting = restore_painting(info, state, run_options or {})
    if step is None:
        painting.ahead.extend(info.timeline[len(painting.timeline) :])
    if change and (change.settings or change.variation):
        painting.apply(change)
    if change and not painting.ahead and (count := painting.step_count) >= painting.settings.steps:
        problem = f"the run has made all its {count} steps; `--steps {2 * count}` paints on"
        raise RunError(f"{problem}, and `vqclip branch` goes another way")
    record = RunWriter.open(info)
    record.truncate(painting)
    return ActiveRun(painting, record)


def branch(
    folder: Path,
    change: Edit,
    *,
    step: int | None = None,
    run_options: Mapping[str, Any] | None = None,
    on_way: Callable[[int], object] = lambda step: None,
) -> ActiveRun:
    """A new run that starts from a state of this one, with changes: other words, another seed, one variation.

    It starts at the latest state, or at any `step` that was made. If that step has no saved state, the steps from the
    nearest earlier state are painted again, and `on_way` is called with each. Only fields that differ from the settings
    at that step are recorded. If no step is left, `steps` more are made. Raises RunError."""
    info = RunInfo.read(folder)
    state = info.latest() if step is None else info.latest_before(step)
    if state is None and step is None:
        raise RunError(f"the run {str(folder)!r} has kept no state to branch from")
    painting = restore_painting(info, state, run_options or {})
    if step is not None:
        painting.ahead.extend(info.timeline[len(painting.timeline) :])
        for frame in run(painting, until=step):
            on_way(frame.step)
        painting.ahead.clear()
    first_step, count = painting.step_count, painting.settings.variations
    changes = relay.with_canvas(change.settings, painting.settings)
    settings = painting.settings.replace(**changes)
    new = {name: settings.value(name) for name in changes if metadata.differs(name, settings, painting.settings)}
    if first_step >= settings.steps:
        new["steps"] = first_step + settings.steps
    painting.apply(Edit(new, variation=change.variation))
    settings = info.settings.replace(**run_options or {})
    parent = (info.folder.resolve().name, first_step)
    record = RunWriter.create(settings, inputs=info.inputs, changes=painting.timeline, parent=parent)
    record.inherit(info, painting, count=count, variation=change.variation)
    return ActiveRun(painting, record)


def replay(source: Path, *, run_options: Mapping[str, Any] | None = None) -> ActiveRun:
    """A new run that paints a run folder or a picture again, from its settings and timeline alone."""
    if source.is_dir():
        info = RunInfo.read(source)
        settings, timeline, until, hashes = (
            info.settings,
            info.timeline,
            max(info.saved_steps, default=None),
            info.hashes,
        )
    else:
        description = embedded.read(source)
        settings, timeline = Settings(**description["settings"]), tuple(map(Edit.from_dict, description["timeline"]))
        until, hashes = description.get("step"), description.get("models")
        until = until if type(until) is int and until > 0 else None
    run_options = run_options or {}
    values = {name: value for name, value in settings.to_dict().items() if name not in run_options}
    refuse_paths([values, *(change.settings for change in timeline)], source)
    settings = settings.replace(**run_options)
    check_out(settings.out)
    metadata.compare(hashes if isinstance(hashes, dict) else {}, settings)
    inputs = inputs_of(source)
    painting = build_painting(settings, inputs=inputs)
    painting.ahead.extend(timeline)
    return ActiveRun(painting, RunWriter.create(settings, inputs=inputs, changes=timeline), until)


def render(folder: Path, size: tuple[int, int], *, run_options: Mapping[str, Any] | None = None) -> list[Image.Image]:
    """A run's pictures, rendered at a larger `size` (width, height) from its latest state.

    The canvas must be one that can render at any size: siren or fourier. Raises RunError, and SettingsError for a size
    that is not allowed."""
    info = RunInfo.read(folder)
    if (state := info.latest()) is None:
        raise RunError(f"the run {str(folder)!r} has kept no state to render")
    width, height = info.current.size
    if size[0] < width or size[1] < height or size[0] * size[1] > images.MOST_PIXELS:
        limits = f"from {width} {height} to {images.MOST_PIXELS:,} pixels in all"
        raise SettingsError(f"size must be {limits}, got {size[0]} {size[1]}")
    if abs(size[0] * height / (size[1] * width) - 1) > 0.02:
        remedy = f"such as {size[0]} {round(size[0] * height / width)}"
        problem = f"size must have the shape of the picture, {width} x {height}"
        raise SettingsError(f"{problem}, got {size[0]} {size[1]}; {remedy}")
    return images.to_pils(restore_painting(info, state, run_options or {}).picture(size))


def restore_painting(info: RunInfo, state: Mapping[str, Any] | None, run_options: Mapping[str, Any]) -> Painting:
    """A run's painting, restored from a state, or before its first step."""
    settings = info.settings.replace(**run_options)
    refuse_paths([settings.to_dict(), *(change.settings for change in info.timeline)], info.folder)
    if state is None:
        return build_painting(settings, inputs=info.inputs)
    try:
        return build_painting(settings.replace(**state["facts"]["settings"]), inputs=info.inputs, state=state)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"the state of {str(info.folder)!r} is not ours: {images.first_line(error)}") from None


def _input_picture(name: str, field: str, inputs: Path | None) -> Image.Image:
    """The picture that the settings name in this field."""
    return images.read(images.locate(name, field=field, inputs=inputs), field=field)
