"""Limits: what people may ask of a queue, read from one TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vqclip_nb.errors import SettingsError
from vqclip_nb.schema import closest

EXAMPLE = """\
# What people may ask of the queue. Each line is the default; leave out what you do not change.

jobs_a_person = 5        # waiting or being painted
jobs_in_all = 500
largest_side = 512       # pixels
most_steps = 500
most_variations = 4
most_cutouts = 64
longest_text = 500       # letters of a prompt
refused_words = []       # a prompt with one of these words is refused
keep_days = 30           # then a picture is deleted
shared_gallery = false   # true: everybody sees all prompts and finished pictures

# The first of each is the default of the page.
canvases = ["vqgan/demo", "pixels", "fourier", "siren"]
perceptors = ["demo"]
"""

Count = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Limits(BaseModel):
    """What people may ask for. `EXAMPLE` explains each limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    jobs_a_person: Count = 5
    jobs_in_all: Count = 500
    largest_side: Annotated[int, Field(ge=16, le=4096)] = 512
    most_steps: Count = 500
    most_variations: Annotated[int, Field(ge=1, le=16)] = 4
    most_cutouts: Annotated[int, Field(ge=1, le=512)] = 64
    longest_text: Count = 500
    refused_words: tuple[str, ...] = ()
    keep_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30
    shared_gallery: bool = False
    canvases: Names = ("vqgan/demo", "pixels", "fourier", "siren")
    perceptors: Names = ("demo",)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The limits in a TOML file. Raises SettingsError, in one line, for an unreadable file or an invalid limit."""
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"the limits {str(path)!r} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise SettingsError(f"the limits {str(path)!r} must be TOML: {str(error).splitlines()[0]}") from None
        return cls.of(values, source=str(path))

    @classmethod
    def of(cls, values: dict[str, Any], *, source: str = "the limits") -> Self:
        """Limits from values by name. Raises SettingsError, whose message begins with `source`."""
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                hint = closest(name, cls.model_fields) or f"; there are {', '.join(cls.model_fields)}"
                raise SettingsError(f"{source}: there is no limit {name!r}{hint}") from None
            reason = first["msg"].removeprefix("Input ")
            raise SettingsError(f"{source}: {name} {reason}, got {first['input']!r}") from None
