"""Settings: everything needed to paint the same picture again, in one frozen object."""

import json
import re
import secrets
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from vqclip_nb import (
    augments,
    canvases,
    drawn_things,
    extra_prompts,
    loss_names,
    perceptor_names,
    prompts,
    regions,
    relay,
    schema,
)
from vqclip_nb.choices import Optimizers
from vqclip_nb.cutout_fields import CutoutFields, parse_sizes
from vqclip_nb.errors import SettingsError
from vqclip_nb.film_fields import FilmFields
from vqclip_nb.layout_fields import LayoutFields
from vqclip_nb.schedules import Number, Scheduled, Whole, check_finite, unreached_keyframes

GROUPS = ("What", "Models", "Canvas", "Picture", "Painting", "Cutouts", "Film", "Run")
_TOP_SEED = 2**32 - 1
_READERS: dict[str, Callable[[str], Any]] = {  # parsers of text fields; each raises ValueError
    "prompt": prompts.parse,
    "canvas": canvases.check,
    "relay": relay.parse,
    "templates": extra_prompts.parse_templates,
    "noise_prompts": extra_prompts.parse_noise,
    "losses": loss_names.parse,
    "extend": regions.margins,
    "augments": augments.parse,
    "crop_sizes": parse_sizes,
}
Side = Annotated[int, Field(ge=16, le=4096)]

_field = schema.field


class Settings(CutoutFields, LayoutFields, FilmFields):
    """What to paint and how. A value that is not allowed raises SettingsError in one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    prompt: str = _field(
        "a red house by the sea at sunset, an oil painting",
        "What",
        "Prompt",
        'what to paint: "a castle:1.5 | fog:-0.3 | watercolor", each text:weight:stop; '
        "a negative weight pushes away; a weight may be keyframes: a castle:0:(1), 60:(0.2); "
        "limit a text to a part of the picture: a castle [0 0 50% 100%]:1.5, or [mask 1]; "
        "or to a part of the run: a castle @ 0-40% | a castle in snow @ 40-100%; "
        "quote a text that holds a colon or a pipe",
        live=True,
    )
    image_prompts: tuple[str, ...] = _field(
        (), "What", "Image prompts", "pictures to paint towards, each file:weight:stop", live=True
    )
    prompt_masks: tuple[str, ...] = _field(
        (),
        "What",
        "Prompt masks",
        "pictures that are white where a prompt applies (grey: in part); [mask 1] after a text is the first",
        live=True,
    )
    templates: str = _field(
        "",
        "What",
        "Templates",
        "each text replaces {} in these; several are averaged: a photo of {} | a painting of {}",
        live=True,
    )
    noise_prompts: str = _field(
        "",
        "What",
        "Noise prompts",
        "random directions to paint towards, each seed:weight, joined by |, such as 12:0.5 | 34:-0.2",
        live=True,
    )
    textoff: Annotated[Number, Scheduled(ge=0, le=100)] = _field(
        0.0, "What", "No writing", "how strongly to push away from written words, such as 0.1", live=True
    )
    canvas: str = _field(
        "vqgan/demo", "Models", "Canvas", "what is painted on, as name or name/model: vqgan/demo, pixels, fourier, ..."
    )
    relay: str = _field(
        "",
        "Models",
        "Relay",
        "canvases that take over the picture, each from a step on: 60:vqgan/demo, or 50%:vqgan/demo | 90%:pixels",
        live=True,
    )
    perceptor: str = _field(
        "demo",
        "Models",
        "Perceptor",
        "the CLIP that guides: name or name:weight, several joined by +; one of weight 0 only reports its loss",
    )
    canvas_options: dict[str, Any] = _field(
        {}, "Canvas", "Canvas options", "the options of the chosen canvas, by name", live=True
    )
    size: tuple[Side, Side] = _field(
        (192, 192), "Picture", "Size", "width and height in pixels, rounded down to the canvas's grid"
    )
    seed: int = _field(
        0,
        "Picture",
        "Seed",
        "seed of all random draws: the same seed paints the same picture; -1 picks one at random",
        live=True,
        ge=-1,
        le=_TOP_SEED,
    )
    variations: int = _field(
        1,
        "Picture",
        "Variations",
        "number of pictures painted together; picture k is the one that seed + k paints",
        ge=1,
        le=16,
    )
    init_image: str | None = _field(None, "Picture", "Start image", "a picture to start from, instead of noise")
    start: Literal["auto", "noise", "prior"] = _field(
        "auto",
        "Picture",
        "Start",
        "without a start image: noise, or the demo prior's drawing of the prompt; auto: the prior, if the demo "
        "perceptor guides and the prompt names a drawn thing",
    )
    start_strength: float = _field(
        1.0, "Picture", "Start strength", "the share of the prior's drawing in the start; the rest is noise", gt=0, le=1
    )
    steps: int = _field(120, "Painting", "Steps", "number of updates of the picture", ge=1, le=100_000, live=True)
    lr: Annotated[Number | None, Scheduled(gt=0, le=10, optional=True)] = _field(
        None, "Painting", "Step size", "the optimizer's learning rate; default: that of the canvas", live=True
    )
    optimizer: Optimizers = _field("adam", "Painting", "Optimizer", "the rule for an update")
    average: float = _field(
        0.9,
        "Painting",
        "Average",
        "paint and show the average of the last steps: 0 for none, 0.99 for about a hundred",
        ge=0,
        le=0.9999,
    )
    accumulate: Annotated[Whole, Scheduled(int, ge=1, le=64)] = _field(
        1,
        "Painting",
        "Accumulate",
        "evaluate the picture this many times per step, each with new cutouts, and use the mean: more cutouts in the "
        "same memory",
        live=True,
    )
    plateau: Annotated[Whole, Scheduled(int, ge=0, le=100_000)] = _field(
        0,
        "Painting",
        "Plateau",
        "lower the step size after this many steps without a lower loss, for each picture alone; 0: never",
        live=True,
    )
    plateau_factor: Annotated[Number, Scheduled(gt=0, le=1)] = _field(
        0.5, "Painting", "Plateau factor", "factor of the step size at a plateau", live=True
    )
    early_stop: Annotated[Whole, Scheduled(int, ge=0, le=100_000)] = _field(
        0,
        "Painting",
        "Early stop",
        "end after this many steps in which no picture had a lower loss; 0: never",
        live=True,
    )
    keep: Literal["last", "best"] = _field(
        "last", "Painting", "Keep", "the result: the last picture, or the one with the lowest loss", live=True
    )
    init_weight: Annotated[Number, Scheduled(ge=0, le=1000)] = _field(
        0.0, "Painting", "Likeness", "weight of the likeness to the start image", live=True
    )
    smoothness: Annotated[Number, Scheduled(ge=0, le=1000)] = _field(
        1.0, "Painting", "Smoothness", "weight of the difference between neighbouring pixels", live=True
    )
    distance: Literal["great-circle", "cosine", "dot", "sigmoid"] = _field(
        "great-circle",
        "Painting",
        "Distance",
        "the distance between picture and prompt: cosine is Big Sleep's, 100 times as strong relative to other "
        "losses; sigmoid is that of SigLIP",
        live=True,
    )
    averaging_weight: Annotated[Number, Scheduled(ge=0, le=1)] = _field(
        0.0,
        "Painting",
        "Averaged looks",
        "weight of the mean embedding of all cutouts beside the single ones; 0.3 in Deep Daze",
        live=True,
    )
    losses: str = _field(
        "",
        "Painting",
        "Losses",
        "further losses, each name:weight, joined by |, such as saturation:0.5 or palette(navy, white):1, on the "
        "command line also palette(photo.jpg):1; the names are "
        f"{', '.join(sorted(loss_names.LOSSES))}",
        live=True,
    )
    every: int = _field(1, "Run", "Keep every", "keep every n-th picture, for the film", ge=1, le=100_000)
    save_every: str = _field(
        "20s", "Run", "Save every", "save the state, to resume from, every so many steps or seconds: 50 or 20s"
    )
    out: str = _field("runs", "Run", "Folder", "the folder in which the run's folder is created")
    device: str = _field("auto", "Run", "Device", "auto, cpu, cuda, cuda:1 or mps")
    metadata: bool = _field(True, "Run", "Settings inside the picture", "write these settings into the picture")
    quiet: bool = _field(False, "Run", "Quiet", "no progress bar")

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            specs = {spec.name: spec for spec in schema.describe(type(self))}
            raise SettingsError(schema.one_line(error, values, specs)) from None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each picture."""
        return tuple(range(self.seed, self.seed + self.variations))

    @property
    def canvases(self) -> tuple[str, ...]:
        """All canvases of the run, in order."""
        return (self.canvas, *(name for _, _, name in relay.parse(self.relay)))

    @property
    def numbers(self) -> list[tuple[str, Number | None]]:
        """What may be a schedule, each with its name: fields, and the weights of prompts and losses."""
        return [*((name, getattr(self, name)) for name, _ in _scheduled_fields(type(self))), *self._weights()]

    @property
    def unreached(self) -> list[str]:
        """A sentence for each number whose keyframes go beyond the end of the run."""
        return unreached_keyframes(self.numbers, self.steps, self.frame_after if self.frame_steps else None)

    def _weights(self) -> list[tuple[str, Number]]:
        weights = [(f"the weight of {prompt.text!r}", prompt.weight) for prompt in prompts.parse(self.prompt)]
        losses = loss_names.parse(self.losses).items()
        return weights + [(f"the weight of {name}", weight) for name, weight in losses]

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some settings changed.

        Options of the canvas may be given by their own names. They are dropped when the kind of canvas changes.
        """
        values = self.model_dump()
        options = dict(changes.pop("canvas_options", None) or {})
        if str(changes.get("canvas", self.canvas)).partition("/")[0] == self.canvas.partition("/")[0]:
            options = {**self.canvas_options, **options}
        return type(self)(**{**values, "canvas_options": options, **changes})

    def value(self, name: str) -> Any:
        """The value of a field, or of an option of the chosen canvas. Raises KeyError."""
        return getattr(self, name) if name in type(self).model_fields else self.canvas_options[name]

    def to_dict(self) -> dict[str, Any]:
        """The settings that determine the picture, ready for JSON: all but those of the group Run."""
        specs = sorted(schema.describe(type(self)), key=lambda spec: GROUPS.index(spec.group))
        values = self.model_dump(mode="json")
        return {spec.name: values[spec.name] for spec in specs if spec.group != "Run"}

    def to_json(self) -> str:
        """The settings that determine the picture, as JSON text; `from_json` reads it back."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Settings from the text of `to_json`, or of a run's settings.json. Raises SettingsError for anything else."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"settings must be JSON, got {text[:40]!r}…: {str(error).splitlines()[0]}") from None
        if not isinstance(values, dict):
            raise SettingsError(f"settings must be a JSON object, got {type(values).__name__}")
        settings = values.get("settings", values)
        if not isinstance(settings, dict):
            raise SettingsError(f"settings must be a JSON object, got {type(settings).__name__}")
        return cls(**settings)

    @model_validator(mode="before")
    @classmethod
    def _collect_options(cls, values: Any) -> Any:
        """Move options of the canvas from the settings into `canvas_options`, and validate these."""
        values = dict(values)
        if isinstance(values.get("canvas"), str):
            values["canvas"] = canvases.canonical_name(values["canvas"])
        spec = canvases.spec(str(values.get("canvas", cls.model_fields["canvas"].default)))
        own = {field.name for field in spec.fields}
        options = values.get("canvas_options") or {}
        if not isinstance(options, dict):
            raise ValueError(f"canvas_options must be options by name, got {options!r}")
        for name in [name for name in values if name not in cls.model_fields]:
            if name in own or canvases.owners(name):
                options = {**options, name: values.pop(name)}
                if name == "tidy" and name not in own:  # version 0.1 wrote it for every canvas
                    options.pop(name)
        for name in options.keys() - own:
            if owners := [field.owner for field in canvases.owners(name)]:
                raise ValueError(f"{name} is an option of the canvas {owners[0]}, and the canvas is {spec.name}")
            hint = f"; its options are {', '.join(sorted(own))}" if own else ""
            raise ValueError(f"the canvas {spec.name} has no option {name!r}{schema.closest(name, own) or hint}")
        return {**schema.normalize(values, schema.describe(cls)), "canvas_options": spec.check(options)}

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        """One number is the side of a square."""
        if isinstance(value, int | str):
            return (value, value)
        return (*value, *value) if isinstance(value, list | tuple) and len(value) == 1 else value

    @field_validator("seed")
    @classmethod
    def _fresh(cls, value: int) -> int:
        """Replace -1 by a random seed, so that the stored settings paint the same picture."""
        return secrets.randbelow(2**31) if value == -1 else value

    @field_validator(*_READERS)
    @classmethod
    def _readable(cls, value: str, info: Any) -> str:
        _READERS[info.field_name](value)
        return value

    @field_validator("save_every")
    @classmethod
    def _steps_or_seconds(cls, value: str) -> str:
        if not re.fullmatch(r"0*[1-9]\d{0,6}s?", value):
            raise ValueError(f"save_every must be a number of steps or seconds, like 50 or 20s, got {value!r}")
        return value

    @field_validator("perceptor", "out", "device")
    @classmethod
    def _not_blank(cls, value: str, info: Any) -> str:
        if not value.strip():
            raise ValueError(f"{info.field_name} must not be empty, got {value!r}")
        if info.field_name == "perceptor":
            perceptor_names.parse(value)
        return value

    @model_validator(mode="after")
    def _something_to_paint(self) -> Self:
        if not prompts.parse(self.prompt) and not self.image_prompts:
            raise ValueError(f'prompt must say what to paint, got {self.prompt!r}; such as "a castle, a watercolor"')
        for region in filter(None, (prompt.region for prompt in prompts.parse(self.prompt))):
            if region.mask is None:
                region.box(self.size)
            elif region.mask > len(self.prompt_masks):
                problem = f"got {region}, and there are {len(self.prompt_masks)}; add --prompt-masks FILE"
                raise ValueError(f"prompt must name a mask that is there, {problem}")
        for name, rule in _scheduled_fields(type(self)):
            rule.check(name, getattr(self, name), self.steps)
        check_finite(self._weights(), self.steps)
        for spec in schema.describe(FilmFields):
            if not self.frame_steps and (value := getattr(self, spec.name)) not in (spec.default, None, ""):
                raise ValueError(f"{spec.name} is for a film, got {value}; add --frame-steps 4")
        if self.extend and not self.init_image:
            raise ValueError(f"extend needs a picture to go beyond, got {self.extend!r}; add --init-image FILE")
        if self.video_flow and not self.video:
            raise ValueError(f"video_flow follows a video, got {self.video_flow}; add --video FILE")
        if self.start == "prior":
            drawn_things.check(self.prompt)
        if self.mask and not self.init_image:
            raise ValueError(f"mask needs a picture to keep parts of, got {self.mask!r}; add --init-image FILE")
        if self.seed + self.variations - 1 > _TOP_SEED:
            raise ValueError(f"seed must leave room for {self.variations} variations, got {self.seed}; lower it")
        return self


@cache
def _scheduled_fields(model: type[Settings]) -> tuple[tuple[str, Scheduled], ...]:
    """The fields that take keyframes, each with its rule."""
    rules = ((name, rule) for name, info in model.model_fields.items() for rule in info.metadata)
    return tuple((name, rule) for name, rule in rules if isinstance(rule, Scheduled))
