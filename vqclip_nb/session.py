"""Session: where settings become a painting. The only place that knows canvases, perceptors and objectives alike."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip_nb import canvases, device, embedded, images, perceptor_names, perceptors, relay
from vqclip_nb.errors import RunError, SettingsError
from vqclip_nb.film_frames import FilmFrames
from vqclip_nb.frame import Frame
from vqclip_nb.objectives.build import Builder
from vqclip_nb.overlay import Overlay
from vqclip_nb.painting import Painting, run
from vqclip_nb.runs import layout, metadata
from vqclip_nb.runs.background_writer import check_free
from vqclip_nb.runs.founding import check_out
from vqclip_nb.runs.reader import RunInfo, inputs_of, refuse_paths
from vqclip_nb.runs.writer import RunWriter
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit


def paint(settings: Settings) -> Iterator[Frame]:
    """Paint, and give every step's frame as it comes, with its picture.

    Nothing is written to disk. Raises ValueError, in one line, for a model, picture or device that is not there, and
    NotANumber when the losses run away.
    """
    yield from run(build_painting(settings), look=True)


def build_painting(
    settings: Settings, *, inputs: Path | None = None, state: Mapping[str, Any] | None = None
) -> Painting:
    """A painting before its first step, or as it was when `state` was taken.

    Pictures named by their sha256 are looked for in the folder `inputs`.
    """
    place = device.choose(settings.device)

    canvas = canvases.make(
        settings.canvas, size=settings.size, seeds=settings.seeds, options=settings.canvas_options
    ).to(place)
    canvas.tiled = settings.seamless
    overlay, film = Overlay.of(settings, inputs=inputs), FilmFrames.of(settings, inputs=inputs)
    if settings.init_image and not state:
        pil = overlay.picture if overlay else _given(settings.init_image, "init_image", inputs)
        canvas.start_from(images.to_tensor(images.covering(pil, settings.size)).to(place))
    elif film and film.video and not state:
        canvas.start_from(film.frame(0, canvas().detach()))
    loaded = {name: perceptors.load(name) for name in perceptor_names.parse(settings.perceptor)}
    networks = {name: [network.to(place) for network in each] for name, each in loaded.items()}
    build = Builder(canvas, networks, device=place, inputs=inputs)
    precision = device.precision(place, side=max(network.cut_size for each in networks.values() for network in each))
    painting = Painting(settings, canvas, build, precision=precision, inputs=inputs, overlay=overlay, before_step=film)
    if state:
        painting.load_state_dict(state)
    else:
        painting.check_relay()
    return painting


@dataclass
class ActiveRun:
    """A painting at work, and the folder that keeps it. Iterate to paint; `record.finish(painting)` ends it.

    until: the step to stop after, or None.
    """

    painting: Painting
    record: RunWriter
    until: int | None = None

    def __iter__(self) -> Iterator[Frame]:
        for frame in run(self.painting, until=self.until):
            self.record.add(frame, self.painting)
            yield frame


def start(settings: Settings, *, inputs: Path | None = None, name: str | None = None) -> ActiveRun:
    """A new run in a folder of its own, called `name` where that is given.

    Raises as `build_painting` and `RunWriter.create` do, before anything is written.
    """
    check_out(settings.out)
    painting = build_painting(settings, inputs=inputs)
    return ActiveRun(painting, RunWriter.create(settings, inputs=inputs, name=name))


def resume(
    folder: Path, *, step: int | None = None, change: Edit | None = None, place: Mapping[str, Any] | None = None
) -> ActiveRun:
    """Go on where a run stood, or at an earlier `step` whose state is kept; what came after is deleted.

    `change` is made first; with one, even an empty one, a step must be left to make. `place` are settings of another
    place, as the device. On the same machine it paints the pixels that it would have. Raises RunError (also for a run
    that another process is painting), SettingsError, PictureError, and then nothing is deleted.
    """
    story = RunInfo.read(folder)
    layout.check(folder)
    check_free(folder)  # before models are loaded for nothing
    state = story.latest() if step is None else story.state(step)
    painting = taken_up(story, state, place or {})
    if step is None:
        painting.ahead.extend(story.timeline[len(painting.timeline) :])
    if change and (change.settings or change.variation):
        painting.apply(change)
    if change and not painting.ahead and (done := painting.step_count) >= painting.settings.steps:
        said = f"the run has made all its {done} steps; `--steps {2 * done}` paints on"
        raise RunError(f"{said}, and `vqclip branch` goes another way")
    record = RunWriter.open(story)
    record.cut(painting)
    return ActiveRun(painting, record)


def branch(
    folder: Path,
    change: Edit,
    *,
    step: int | None = None,
    place: Mapping[str, Any] | None = None,
    on_way: Callable[[int], object] = lambda step: None,
) -> ActiveRun:
    """A new run that goes another way from this one: other words, another seed, one variation.

    It begins at the latest state, or at any `step` that was made: where that one's state is not kept, the way there is
    painted again from the nearest one before it, and `on_way` is called with each step. Only fields that differ from
    the settings there are recorded. Where no step is left to make, it makes as many as `steps` says. Raises RunError.
    """
    story = RunInfo.read(folder)
    state = story.latest() if step is None else story.before(step)
    if state is None and step is None:
        raise RunError(f"the run {str(folder)!r} has kept no state to branch from")
    painting = taken_up(story, state, place or {})
    if step is not None:
        painting.ahead.extend(story.timeline[len(painting.timeline) :])
        for frame in run(painting, until=step):
            on_way(frame.step)
        painting.ahead.clear()
    begun_at, count = painting.step_count, painting.settings.variations
    wanted = relay.with_canvas(change.settings, painting.settings)
    asked = painting.settings.replace(**wanted)
    new = {name: asked.value(name) for name in wanted if metadata.differs(name, asked, painting.settings)}
    if begun_at >= asked.steps:
        new["steps"] = begun_at + asked.steps
    painting.apply(Edit(new, variation=change.variation))
    settings = story.settings.replace(**place or {})
    parent = (story.folder.resolve().name, begun_at)
    record = RunWriter.create(settings, inputs=story.inputs, changes=painting.timeline, parent=parent)
    record.inherit(story, painting, of=count, variation=change.variation)
    return ActiveRun(painting, record)


def replay(source: Path, *, place: Mapping[str, Any] | None = None) -> ActiveRun:
    """A new run that paints what a run's folder, or a picture, says was painted: settings and timeline alone."""
    if source.is_dir():
        story = RunInfo.read(source)
        settings, timeline, until, hashes = story.settings, story.timeline, max(story.kept, default=None), story.hashes
    else:
        told = embedded.read(source)
        settings, timeline = Settings(**told["settings"]), tuple(map(Edit.from_dict, told["timeline"]))
        until, hashes = told.get("step"), told.get("models")
        until = until if type(until) is int and until > 0 else None
    place = place or {}
    recipe = {name: value for name, value in settings.to_dict().items() if name not in place}
    refuse_paths([recipe, *(change.settings for change in timeline)], source)
    settings = settings.replace(**place)
    check_out(settings.out)
    metadata.compare(hashes if isinstance(hashes, dict) else {}, settings)
    inputs = inputs_of(source)
    painting = build_painting(settings, inputs=inputs)
    painting.ahead.extend(timeline)
    return ActiveRun(painting, RunWriter.create(settings, inputs=inputs, changes=timeline), until)


def render(folder: Path, size: tuple[int, int], *, place: Mapping[str, Any] | None = None) -> list[Image.Image]:
    """A run's pictures at a larger size, as its latest state has them. Raises RunError, and SettingsError for a size.

    The canvas must be one that has no size of its own, as siren and fourier have none.
    """
    story = RunInfo.read(folder)
    if (state := story.latest()) is None:
        raise RunError(f"the run {str(folder)!r} has kept no state to render")
    width, height = story.current.size
    if size[0] < width or size[1] < height or size[0] * size[1] > images.MOST_PIXELS:
        allowed = f"from {width} {height} to {images.MOST_PIXELS:,} pixels in all"
        raise SettingsError(f"size must be {allowed}, got {size[0]} {size[1]}")
    if abs(size[0] * height / (size[1] * width) - 1) > 0.02:
        remedy = f"such as {size[0]} {round(size[0] * height / width)}"
        problem = f"size must have the shape of the picture, {width} x {height}"
        raise SettingsError(f"{problem}, got {size[0]} {size[1]}; {remedy}")
    return images.to_pils(taken_up(story, state, place or {}).picture(size))


def taken_up(story: RunInfo, state: Mapping[str, Any] | None, place: Mapping[str, Any]) -> Painting:
    """A run's painting as it was at a state, or before its first step."""
    settings = story.settings.replace(**place)
    refuse_paths([settings.to_dict(), *(change.settings for change in story.timeline)], story.folder)
    if state is None:
        return build_painting(settings, inputs=story.inputs)
    try:
        return build_painting(settings.replace(**state["facts"]["settings"]), inputs=story.inputs, state=state)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"the state of {str(story.folder)!r} is not ours: {images.first_line(error)}") from None


def _given(name: str, field: str, inputs: Path | None) -> Image.Image:
    """A picture that the settings name in this field."""
    return images.read(images.locate(name, field=field, inputs=inputs), field=field)
