"""Changes: what is steered while a picture is painted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vqclip_nb.errors import RunError
from vqclip_nb.fields import live_fields


@dataclass(frozen=True)
class Edit:
    """Settings that change while painting, and, once applied, the number of steps that were made before.

    variation: the one picture of several, counted from 1, that is painted from there on.
    """

    settings: Mapping[str, Any]
    step: int = 0
    variation: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; `from_dict` reads it back."""
        picked = {} if self.variation is None else {"variation": self.variation}
        return {"step": self.step, "settings": dict(self.settings), **picked}

    @classmethod
    def from_dict(cls, value: Any) -> "Edit":
        """A change from a file. Raises RunError when it is none."""
        known = isinstance(value, dict) and value.keys() <= {"step", "settings", "variation"}
        change = cls(value.get("settings"), value.get("step"), value.get("variation")) if known else None
        if (
            change is None
            or type(change.step) is not int
            or type(change.variation) not in (int, type(None))
            or not isinstance(change.settings, dict)
            or type(change.settings.get("seed", 0)) is not int
            or change.settings.keys() - live_fields()
        ):
            raise RunError(f'a change must be {{"step": …, "settings": {{…}}}}, got {str(value)[:60]!r}')
        return change
