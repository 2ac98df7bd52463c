"""CanvasSpec: the description of a canvas, which needs no torch: its name, its options and its strengths."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vqclip_nb.errors import SettingsError
from vqclip_nb.schema import FieldSpec, describe, normalize, one_line


class CanvasOptions(BaseModel):
    """The options of a canvas: each is declared with `schema.option`. A subclass lists its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


@dataclass(frozen=True)
class CanvasSpec:
    """A canvas, without its torch code.

    title: a few words for a menu. good_at: what it is good at, a sentence. lr: its default step size. model_kind: the
    kind of catalog entry that it takes as its model (`--canvas vqgan/<model>`), or None. options: its options.
    default_model: the model that messages suggest. The torch class is `CANVAS` in the module `canvas` of the same
    package.
    """

    name: str
    title: str
    good_at: str
    lr: float
    model_kind: str | None = None
    options: type[CanvasOptions] = CanvasOptions
    default_model: str = ""

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The fields of its options."""
        return describe(self.options, self.name)

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Validate options, and add defaults for those that are missing. Raises SettingsError, in one line."""
        specs = {spec.name: spec for spec in self.fields}
        try:
            return self.options(**normalize(values, self.fields)).model_dump(mode="json")
        except ValidationError as error:
            raise SettingsError(one_line(error, values, specs)) from None
