"""Presets: settings that go well together, from the package and from the user."""

import json
import re
from pathlib import Path
from typing import Any

from vqclip_nb import presets
from vqclip_nb.errors import SettingsError
from vqclip_nb.models.catalog import home
from vqclip_nb.settings import Settings

LARGE: dict[str, Any] = dict(presets.load("large").settings)


def all_presets() -> dict[str, dict[str, Any]]:
    """The settings of all presets by name. A user's file that cannot be read is skipped."""
    settings_by_title = {preset.title: dict(preset.settings) for preset in presets.load_all()}
    for path in sorted(_folder().glob("*.json")):
        try:
            values = json.loads(path.read_bytes())
            Settings(**values)
            settings_by_title[path.stem] = values
        except (OSError, ValueError, TypeError, RecursionError):
            continue
    return settings_by_title


def save_preset(name: str, settings: Settings) -> Path:
    """Save the settings that differ from the defaults as a preset. Raises SettingsError.

    Prompt, pictures, seed and run options are left out. Returns the path of the file.
    """
    if not re.fullmatch(r"\w[\w ,.()-]{0,59}", name) or name in {preset.title for preset in presets.load_all()}:
        raise SettingsError(
            f"a preset's name must have only letters, digits, blanks and -,.() and must not be taken, got {name!r}"
        )
    usual = Settings(canvas=settings.canvas).to_dict() | {"canvas": Settings().canvas}
    own = ("prompt", "image_prompts", "prompt_masks", "init_image", "mask", "seed")
    values = {n: v for n, v in settings.to_dict().items() if v != usual[n] and n not in own}
    path = _folder() / f"{name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values, indent=2), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"the preset could not be written to {path.parent}: {error.strerror or error}") from None
    return path


def _folder() -> Path:
    return home() / "presets"
