"""Settings: everything needed to make the same picture again, in one frozen object that every face reads."""

import difflib
import json
import pkgutil
import re
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from vqclip_nb import perceptor_names, prompts
from vqclip_nb.errors import PaintWarning, SettingsError

GROUPS = ("What", "Models", "Picture", "Painting", "Cutouts", "Place")
CANVASES = tuple(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent / "canvases")]) if m.name[0] != "_")
_TOP_SEED = 2**32 - 1
Optimizers = Literal[
    "adam", "adamw", "adam-custom", "adamax", "adamp", "nadam", "radam", "diffgrad", "adagrad", "rmsprop", "sgd"
]
Side = Annotated[int, Field(ge=16, le=4096)]


def _field(default: Any, group: str, title: str, help: str, *, live: bool = False, **allowed: Any) -> Any:
    """A field with all that a form, a flag, a table and an error message say about it.

    `live` marks what may change while the picture is painted.
    """
    return Field(default, title=title, description=help, json_schema_extra={"group": group, "live": live}, **allowed)


class Settings(BaseModel):
    """What to paint and how. Anything not allowed raises SettingsError in one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    prompt: str = _field(
        "a red house by the sea at sunset, an oil painting",
        "What",
        "Prompt",
        'what to paint: "a castle:1.5 | fog:-0.3 | watercolor", each text:weight:stop; '
        "a negative weight pushes away; quote a text that holds a colon or a pipe",
        live=True,
    )
    image_prompts: tuple[str, ...] = _field(
        (), "What", "Image prompts", "pictures to paint towards, each file:weight:stop", live=True
    )
    canvas: str = _field("vqgan/demo", "Models", "Canvas", "what is painted on: vqgan/<model>, pixels, fourier")
    perceptor: str = _field(
        "demo", "Models", "Perceptor", "the CLIP that judges: name or name:weight, several joined by +"
    )
    size: tuple[Side, Side] = _field(
        (192, 192), "Picture", "Size", "width and height in pixels, rounded down to what the canvas can paint"
    )
    seed: int = _field(
        0,
        "Picture",
        "Seed",
        "fixes every draw; the same seed paints the same picture; -1 picks one",
        live=True,
        ge=-1,
        le=_TOP_SEED,
    )
    variations: int = _field(
        1,
        "Picture",
        "Variations",
        "pictures painted side by side; picture k is the one that seed + k paints",
        ge=1,
        le=16,
    )
    init_image: str | None = _field(None, "Picture", "Start image", "a picture to begin with, instead of noise")
    steps: int = _field(
        120, "Painting", "Steps", "how often the picture is judged and changed", ge=1, le=100_000, live=True
    )
    lr: float | None = _field(
        None, "Painting", "Step size", "how far one step goes; left out, what suits the canvas", gt=0, le=10, live=True
    )
    optimizer: Optimizers = _field("adam", "Painting", "Optimizer", "how a step is taken")
    average: float = _field(
        0.9,
        "Painting",
        "Average",
        "show an average of the last steps: 0 for none, 0.99 for about a hundred",
        ge=0,
        le=0.9999,
    )
    tidy: int | None = _field(
        None,
        "Painting",
        "Tidy every",
        "encode the picture anew every so many steps, against cracks; 0 is never; left out, what suits the canvas",
        ge=0,
        le=100_000,
        live=True,
    )
    init_weight: float = _field(
        0.0, "Painting", "Likeness", "how strongly the picture is held to its start", ge=0, le=1000, live=True
    )
    smoothness: float = _field(
        1.0, "Painting", "Smoothness", "how strongly neighbouring pixels are drawn together", ge=0, le=1000, live=True
    )
    cutouts: Literal["pooling", "pooling-published", "crops"] = _field(
        "pooling",
        "Cutouts",
        "Cutouts",
        "how the perceptor looks: at the whole picture (pooling; pooling-published is the 2021 recipe to the letter) "
        "or random crops",
        live=True,
    )
    cutn: int = _field(
        16, "Cutouts", "Cutouts per step", "looks per step: more is steadier and slower", ge=1, le=512, live=True
    )
    cut_pow: float = _field(
        1.0,
        "Cutouts",
        "Crop power",
        "crops only: above 1 favours small crops, below 1 large ones",
        gt=0,
        le=16,
        live=True,
    )
    every: int = _field(1, "Place", "Keep every", "keep each n-th picture, for the film", ge=1, le=100_000)
    save_every: str = _field(
        "20s", "Place", "Save every", "keep the state, to go on from, every so many steps or seconds: 50 or 20s"
    )
    out: str = _field("runs", "Place", "Folder", "where the run's folder is made")
    device: str = _field("auto", "Place", "Device", "auto, cpu, cuda, cuda:1 or mps")
    metadata: bool = _field(True, "Place", "Settings inside the picture", "write these settings into the picture")
    quiet: bool = _field(False, "Place", "Quiet", "no progress bar")

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_one_line(error, values)) from None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each picture."""
        return tuple(range(self.seed, self.seed + self.variations))

    def replace(self, **changes: Any) -> Self:
        """These settings with some changed, checked again."""
        return type(self)(**{**self.model_dump(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """What makes the picture, ready for JSON: everything but the place it is painted at and written to."""
        return self.model_dump(
            mode="json", exclude={name for name in type(self).model_fields if group(name) == "Place"}
        )

    def to_json(self) -> str:
        """The recipe as JSON text; `from_json` reads it back."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Settings from JSON text: a recipe, or a run's settings.json. Raises SettingsError for anything else."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"settings must be JSON, got {text[:40]!r}…: {str(error).splitlines()[0]}") from None
        if not isinstance(values, dict):
            raise SettingsError(f"settings must be a JSON object, got {type(values).__name__}")
        recipe = values.get("settings", values)
        if not isinstance(recipe, dict):
            raise SettingsError(f"settings must be a JSON object, got {type(recipe).__name__}")
        return cls(**recipe)

    @classmethod
    def from_image(cls, path: str | Path) -> "Settings":
        """The settings that a picture was painted with, as they were at its end. Opens nothing else, fetches nothing.

        Warns (PaintWarning) when it was steered on the way, or branched. Raises PictureError, RunError, SettingsError.
        """
        from vqclip_nb.runs.metadata import read, settled

        if (told := read(path))["timeline"]:
            said = f"{str(path)!r} was steered while it was painted; taken are its settings at the end"
            warnings.warn(f"{said}. `vqclip replay` follows the whole way", PaintWarning, stacklevel=2)
        return settled(told)

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
        """-1 becomes a seed drawn now, so that what is stored paints the same again."""
        return secrets.randbelow(2**31) if value == -1 else value

    @field_validator("prompt")
    @classmethod
    def _readable(cls, value: str) -> str:
        prompts.parse(value)
        return value

    @field_validator("canvas")
    @classmethod
    def _known_canvas(cls, value: str) -> str:
        family, _, model = value.partition("/")
        if family not in CANVASES or (family == "vqgan") != bool(model):
            known = ", ".join(_shown_canvases())
            raise ValueError(f"canvas must be {known}, got {value!r}{_closest(family, CANVASES)}")
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
        if self.seed + self.variations - 1 > _TOP_SEED:
            raise ValueError(f"seed must leave room for {self.variations} variations, got {self.seed}; lower it")
        return self


def group(name: str) -> str:
    """The heading under which a field stands in forms, help and tables."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["group"]) if isinstance(extra, dict) else ""


def live_fields() -> frozenset[str]:
    """The fields that may change while the picture is painted."""
    extras = {name: field.json_schema_extra for name, field in Settings.model_fields.items()}
    return frozenset(name for name, extra in extras.items() if isinstance(extra, dict) and extra["live"])


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values a field may take, where there is a list of them."""
    return get_args(field.annotation) if str(field.annotation).startswith("typing.Literal") else ()


def limits(field: FieldInfo) -> dict[str, float]:
    """The range of a number, or of each number of a pair: ge (from), gt (above) and le (up to)."""
    rules = [*field.metadata]
    if get_origin(field.annotation) is tuple:
        rules += [rule for info in getattr(get_args(field.annotation)[0], "__metadata__", ()) for rule in info.metadata]
    return {key: getattr(rule, key) for rule in rules for key in ("ge", "gt", "le") if hasattr(rule, key)}


def allowed(name: str) -> str:
    """What a field may be, in words: `from 1 to 100000`, `one of adam, sgd`, `a text`."""
    field = Settings.model_fields[name]
    if options := choices(field):
        return "one of " + ", ".join(options)
    if not (span := limits(field)):
        text = "a list of files" if name == "image_prompts" else "a text"
        return "true or false" if field.annotation is bool else text
    words = f"from {span['ge']} to {span['le']}" if "ge" in span else f"above {span['gt']} and up to {span['le']}"
    return "two whole numbers, width and height, each " + words if name == "size" else words


def _shown_canvases() -> list[str]:
    return [f"{name}/<model>" if name == "vqgan" else name for name in CANVASES]


def _closest(word: str, words: Any) -> str:
    close = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _one_line(error: ValidationError, values: Mapping[str, Any]) -> str:
    """The first thing that is wrong, as: field, what is allowed, what was given."""
    first = error.errors()[0]
    if not first["loc"] or first["type"] == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"]))
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        hint = _closest(name, Settings.model_fields) or "; the settings are " + ", ".join(Settings.model_fields)
        return f"there is no setting {name!r}{hint}"
    given = values.get(name, first["input"])
    number = {"int": "a whole number ", "flo": "a number ", "fin": "a number "}.get(first["type"][:3], "")
    return f"{name} must be {number if name != 'size' else ''}{allowed(name)}, got {_shown(given)}"


def _shown(value: Any) -> str:
    """A value as a person wrote it."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    number = isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[-+.\d]+", value))
    return str(value) if number else repr(value)
