"""Animations: films described in scenes and seconds, and the settings that paint them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from vqclip_nb import prompts
from vqclip_nb.documents import parse, text_of
from vqclip_nb.errors import SettingsError
from vqclip_nb.film_fields import DEFAULT_FPS, FilmFields
from vqclip_nb.frame import Frame
from vqclip_nb.schedules import Schedule, Scheduled
from vqclip_nb.schema import closest
from vqclip_nb.settings import Settings
from vqclip_nb.spans import Span

CAMERA = ("zoom", "shift_x", "shift_y", "rotate", "turn_x", "turn_y", "border", "video_weight")
MOST_FRAMES = 100_000
EXAMPLE = """\
# A film: `vqclip animate this-file.yaml`. All possible headings are shown; those behind a # are not used here.

scenes:                      # one after the other
  - words: a house by the sea at sunset, an oil painting
    seconds: 3
  - words: a house in a snowy field at night, an oil painting
    seconds: 3
    fade: 1                  # seconds over which it replaces the previous scene; 0 cuts
eased: true                  # fades begin and end slowly

fps: 12                      # frames a second
steps_per_frame: 4           # more is finer, and slower
first_steps: 60              # steps of the first frame, which starts from noise

camera:                      # for each frame: a number, keyframes by frame, or a formula of t, the frame's number
  zoom: "0:(1), 12:(1.03)"   # 1.03 is 3 % larger with each frame
  rotate: 0.5*sin(t/10)      # degrees, anticlockwise
  # shift_x, shift_y: pixels; turn_x, turn_y: degrees that the camera looks up and to the right
  # border: reflect, stretch, wrap or fill; video_weight: how much of the video each frame begins with

# loop: 1                    # the last second flows into the first frame
# video: clip.mp4            # repaint a film, or a folder of pictures; scenes without seconds share its length
# video_nth: 2               # every other frame of it

settings:                    # any other settings of `vqclip paint`
  size: 192
  seed: 0
"""


@dataclass(frozen=True)
class Scene:
    """A prompt and its length. seconds: None takes an equal share of the rest. fade: seconds of fading in."""

    words: str
    seconds: float | None = None
    fade: float = 0.5


@dataclass(frozen=True)
class Animation:
    """A film in scenes. `settings(...)` returns the settings that paint it; `Animation.read` reads a file like EXAMPLE.

    eased: whether scenes fade smoothly. camera: settings of CAMERA by name; keyframes and formulas count frames from 0.
    loop: seconds at the end that flow into the first frame. more: other settings by name. Raises SettingsError for
    values that are not allowed.
    """

    scenes: tuple[Scene, ...]
    eased: bool = False
    fps: float | None = None
    steps_per_frame: int = 4
    first_steps: int = 60
    camera: dict[str, Any] = field(default_factory=dict)
    loop: float = 0.0
    video: str | None = None
    video_nth: int = 1
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scenes:
            raise SettingsError("an animation needs scenes; `vqclip animate --example` prints one")
        for scene in self.scenes:
            if scene.seconds is not None and not 0 < scene.seconds <= 36_000:
                raise SettingsError(f"seconds of a scene must be above 0 and up to 36000, got {scene.seconds}")
            if not 0 <= scene.fade <= 3600:
                raise SettingsError(f"fade of a scene must be from 0 to 3600 seconds, got {scene.fade}")
        for name, low, high in (("steps_per_frame", 1, 1000), ("first_steps", 0, 10_000), ("video_nth", 1, 100)):
            if not low <= getattr(self, name) <= high:
                raise SettingsError(f"{name} must be from {low} to {high}, got {getattr(self, name)}")
        for name in self.camera:
            if name not in CAMERA:
                hint = closest(name, CAMERA) or f"; it has {', '.join(CAMERA)}"
                raise SettingsError(f"camera has no {name!r}{hint}")

    @classmethod
    def read(cls, path: Path) -> Self:
        """An animation from a YAML or JSON file. Raises SettingsError, in one line."""
        values = parse(text_of(path), path)
        if not isinstance(values, dict):
            raise SettingsError(f"{str(path)!r} must hold an animation; `vqclip animate --example` prints one")
        try:
            return cls.of(values)
        except SettingsError as error:
            raise SettingsError(f"{str(path)!r}: {error}") from None

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """An animation from headings by name, as in EXAMPLE. Raises SettingsError."""
        headings = (
            "scenes",
            "eased",
            "fps",
            "steps_per_frame",
            "first_steps",
            "camera",
            "loop",
            "video",
            "video_nth",
            "settings",
        )
        for name in values:
            if name not in headings:
                raise SettingsError(f"there is no heading {name!r}{closest(str(name), headings)}")
        scenes = values.get("scenes")
        if not isinstance(scenes, list):
            problem = f"scenes must be a list of scenes, got {scenes!r}"
            raise SettingsError(f"{problem}; `vqclip animate --example` prints some")
        numbers: dict[str, Any] = {}
        for name, kind in (("fps", float), ("steps_per_frame", int), ("first_steps", int), ("loop", float)):
            if values.get(name) is not None:
                numbers[name] = _number(values[name], name, kind)
        tables = {name: values.get(name) or {} for name in ("camera", "settings")}
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise SettingsError(f"{name} must be settings by name, got {table!r}")
        video = values.get("video")
        return cls(
            tuple(map(_scene, scenes)),
            eased=bool(values.get("eased")),
            **numbers,
            camera=tables["camera"],
            video=None if video is None else str(video),
            video_nth=_number(values.get("video_nth") or 1, "video_nth", int),
            more=tables["settings"],
        )

    @classmethod
    def of_settings(cls, settings: Settings) -> Self | None:
        """The scenes of a film, with their lengths to the nearest frame; None if scenes cannot express its story."""
        if not settings.frame_steps:
            return None
        stories = _stories(prompts.parse(settings.prompt))
        if stories is None:
            return None
        rate = settings.fps or DEFAULT_FPS
        edges = [_frame_at(span.begin, settings) for span, _ in stories] + [settings.frame_count(settings.steps)]
        if any(end <= begin for begin, end in pairwise(edges)):
            return None
        seconds_per_run = settings.steps / settings.frame_steps / rate
        scenes = [
            Scene(words, round((end - begin) / rate, 4), round(span.fade[0] * seconds_per_run, 3) if begin else 0.0)
            for (span, words), (begin, end) in zip(stories, pairwise(edges), strict=True)
        ]
        return cls(
            tuple(scenes),
            eased=stories[-1][0].eased,
            fps=settings.fps,
            steps_per_frame=settings.frame_steps,
            first_steps=settings.first_steps,
        )

    def settings(self, *, video_frames: int = 0, video_fps: float | None = None, **common: Any) -> Settings:
        """The settings that paint it. `video_frames` and `video_fps` describe the video, every nth frame counted.

        `common` are further settings; those of the animation take precedence. Raises SettingsError.
        """
        fps = self.fps or video_fps or DEFAULT_FPS
        frames = self._frames(fps, video_frames)
        film = FilmFields(frame_steps=self.steps_per_frame, first_steps=self.first_steps)
        steps = film.steps_for(frames[-1][1])
        if frames[-1][1] > MOST_FRAMES:
            raise SettingsError(f"an animation must have at most {MOST_FRAMES:,} frames, got {frames[-1][1]:,}")
        camera = {name: _in_steps(value, name, film, frames[-1][1]) for name, value in self.camera.items()}
        return Settings(
            **{
                **common,
                **self.more,
                "prompt": self._prompt(frames, fps, steps, film),
                "steps": steps,
                "frame_steps": film.frame_steps,
                "first_steps": film.first_steps,
                "fps": fps,
                "loop_frames": round(self.loop * fps),
                "video": self.video,
                "video_nth": self.video_nth,
                **camera,
            }
        )

    def _frames(self, fps: float, video_frames: int) -> list[tuple[int, int]]:
        """The first frame of each scene, and the frame after its last."""
        seconds = sum(scene.seconds or 0 for scene in self.scenes)
        open_scenes = sum(scene.seconds is None for scene in self.scenes)
        rest = (video_frames / fps - seconds) / open_scenes if video_frames and open_scenes else 4.0
        edges, at = [], 0.0
        for scene in self.scenes:
            begin, at = round(at * fps), at + (rest if scene.seconds is None else scene.seconds)
            edges.append((begin, round(at * fps)))
        if empty := [index for index, (begin, end) in enumerate(edges, 1) if end <= begin]:
            raise SettingsError(
                f"scene {empty[0]} has no frame; give it more seconds, or the film more frames a second"
            )
        if video_frames and edges[-1][1] > video_frames:
            raise SettingsError(
                f"the scenes need {edges[-1][1]} frames, and the video has {video_frames}; shorten them, "
                "or leave out the seconds of one"
            )
        return edges

    def _prompt(self, frames: list[tuple[int, int]], fps: float, steps: int, film: FilmFields) -> str:
        """All scenes as one prompt, each part with its span of the run."""
        if len(self.scenes) == 1:
            return self.scenes[0].words
        parts = []
        fades = [
            0.0,
            *(round(min(scene.fade * fps * film.frame_steps / steps, 1.0), 6) for scene in self.scenes[1:]),
            0.0,
        ]
        for index, (scene, (begin, end)) in enumerate(zip(self.scenes, frames, strict=True)):
            first, last = (_written_share(film.steps_for(frame), steps) if frame else 0.0 for frame in (begin, end))
            span = Span(first, min(last, 1.0), (fades[index], fades[index + 1]), self.eased)
            parts += [str(replace(prompt, span=span)) for prompt in prompts.parse(scene.words, field="words")]
        return " | ".join(parts)


def animate(animation: Animation, **common: Any) -> Iterator[Frame]:
    """Paint a film as a run in a folder under `out`, and yield each frame of the film with its picture.

    `common` are other settings, such as `device`. The film is written after the last frame. Raises SettingsError,
    PictureError, RunError.
    """
    from vqclip_nb.session import start

    active = start(film_settings(animation, **common))
    try:
        yield from (frame for frame in active if frame.kept)
    finally:
        active.record.finish(active.painting)


def film_settings(animation: Animation, **common: Any) -> Settings:
    """The settings that paint an animation; its video is opened to count frames. Raises SettingsError, PictureError."""
    if not animation.video:
        return animation.settings(**common)
    from vqclip_nb import images
    from vqclip_nb.video_reader import VideoReader

    reader = VideoReader(images.locate(animation.video, field="video"), animation.video_nth)
    return animation.settings(video_frames=len(reader), video_fps=reader.fps, **common)


def _written_share(step: int, steps: int) -> float:
    """The share of the run at which a step begins, in the eight digits of a span, and not above it."""
    return math.floor(step / steps * 1e8 + 1e-3) / 1e8


def _stories(parts: Sequence[prompts.Prompt]) -> list[tuple[Span, str]] | None:
    """The spans of a story in order, with their words; None if they overlap, leave a gap or fade unevenly."""
    groups: dict[Span, list[str]] = {}
    for part in parts:
        groups.setdefault(part.span or Span(0.0, 1.0), []).append(str(replace(part, span=None)))
    spans = sorted(groups, key=lambda span: span.begin)
    if not spans or spans[0].begin or spans[-1].end < 1:
        return None
    for before, after in pairwise(spans):
        alike = (before.end, before.fade[1], before.eased) == (after.begin, after.fade[0], after.eased)
        if not alike or after.fade[0] > 1:
            return None
    return [(span, " | ".join(groups[span])) for span in spans]


def _frame_at(share: float, settings: Settings) -> int:
    """The frame that begins nearest to this share of the run."""
    beyond = share * settings.steps - (settings.first_steps or settings.frame_steps)
    return max(0, round(beyond / settings.frame_steps) + 1) if share else 0


def _scene(value: Any) -> Scene:
    if isinstance(value, str):
        return Scene(value)
    names = ("words", "seconds", "fade")
    if not isinstance(value, dict) or not isinstance(value.get("words"), str):
        raise SettingsError(f"a scene must have words, got {value!r}; such as {{words: a castle, seconds: 3}}")
    for name in value:
        if name not in names:
            raise SettingsError(f"a scene has no {name!r}{closest(str(name), names)}")
    numbers = {name: _number(value[name], name, float) for name in ("seconds", "fade") if value.get(name) is not None}
    return Scene(value["words"], **numbers)


def _number(value: Any, name: str, kind: type) -> Any:
    """A number from 0 on, as read from a file. Raises SettingsError."""
    valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if not valid or (kind is int and value != int(value)):
        raise SettingsError(f"{name} must be a {'whole ' if kind is int else ''}number from 0 on, got {value!r}")
    return kind(value)


def _in_steps(value: Any, name: str, film: FilmFields, frames: int) -> Any:
    """A camera setting whose keyframes and formulas count frames, converted to steps.

    Raises SettingsError, with the number of the frame, where it leaves its range.
    """
    if not isinstance(value, str) or not (":" in value or Schedule.may_be(value)):
        return value
    first, each = film.first_steps or film.frame_steps, film.frame_steps
    schedule = Schedule.parse(value, name=name)
    for rule in FilmFields.model_fields[name].metadata:
        if isinstance(rule, Scheduled):
            rule.check(name, schedule, frames, "frame")
    return str(schedule.retimed(lambda frame: max(0, film.steps_for(frame)), f"((t-{first})/{each}+1)"))
