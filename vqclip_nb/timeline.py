"""Timeline: the edits of a run, made while it paints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vqclip_nb import relay
from vqclip_nb.errors import RunError
from vqclip_nb.fields import live_fields
from vqclip_nb.images import HASHED, PictureFile

_KEYS = {"step", "settings", "variation", "image"}


@dataclass(frozen=True)
class Edit:
    """Changes of settings, and the number of steps made before them (known once the edit is applied).

    variation: the picture, from 1, that alone is painted from there on. image: the file of a picture that replaces the
    painted one: a path, or `sha256:<hex>` of a file in the run. file: its content, if it is in memory.
    """

    settings: Mapping[str, Any]
    step: int = 0
    variation: int | None = None
    image: str | None = None
    file: PictureFile | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; `from_dict` reads it back."""
        more = {"variation": self.variation, "image": self.image}
        return {
            "step": self.step,
            "settings": dict(self.settings),
            **{name: value for name, value in more.items() if value is not None},
        }

    @classmethod
    def from_dict(cls, value: Any) -> "Edit":
        """An edit from JSON. Raises RunError when it is not a valid one."""
        well_formed = isinstance(value, dict) and value.keys() <= _KEYS
        edit = cls(*map(value.get, ("settings", "step", "variation", "image"))) if well_formed else None
        if (
            edit is None
            or type(edit.step) is not int
            or type(edit.variation) not in (int, type(None))
            or not (edit.image is None or (isinstance(edit.image, str) and HASHED.fullmatch(edit.image)))
            or not isinstance(edit.settings, dict)
            or type(edit.settings.get("seed", 0)) is not int
            or edit.settings.keys() - live_fields() - {*(relay.FIELDS if "canvas" in edit.settings else ())}
            or not isinstance(edit.settings.get("canvas_options", {}), dict)
        ):
            raise RunError(f'a change must be {{"step": …, "settings": {{…}}}}, got {str(value)[:60]!r}')
        return edit
