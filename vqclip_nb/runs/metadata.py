"""Metadata: the description inside a picture, from which the picture can be painted again.

It is a JSON object:

    version     2; readers refuse later versions. Version 1 had `tidy` among the settings, not in `canvas_options`
    settings    the settings at the first step, from `Settings.to_dict`
    timeline    the edits: [{"step": 40, "settings": {"lr": 0.05}}, …], with "variation": k where only the
                k-th picture was continued
    step        the number of steps
    package     the version of vqclip_nb
    models      the sha256 of each model's file, by its full name

Input pictures are named by their sha256. Nothing in it tells about the user or the machine. `embedded` writes and
reads it.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqclip_nb import __version__, drawn_things, models, prompts
from vqclip_nb.embedded import VERSION, at_the_end, read
from vqclip_nb.errors import PaintWarning
from vqclip_nb.images import HASHED, locate
from vqclip_nb.layout_fields import ALPHA
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

PICTURES = ("init_image", "mask", "video")  # fields that name one picture, or a film
PICTURE_LISTS = ("image_prompts", "prompt_masks")  # fields that name several pictures


def describe(
    settings: Settings, *, timeline: Sequence[Mapping[str, Any]] = (), step: int, hashes: Mapping[str, str]
) -> dict[str, Any]:
    """The description of a picture. Settings and timeline must name input pictures by sha256.

    `hashes` is the result of `model_hashes`.
    """
    return {
        "version": VERSION,
        "settings": settings.to_dict(),
        "timeline": list(timeline),
        "step": step,
        "package": __version__,
        "models": dict(hashes),
    }


def input_pictures(values: Mapping[str, Any]) -> dict[str, str]:
    """The field of each input picture, by the picture's name, in settings or in the changes of an edit."""
    lists = ((name, line) for name in PICTURE_LISTS for line in values.get(name) or ())
    pictures = {prompts.parse_picture(line).text: name for name, line in lists}
    return pictures | {values[name]: name for name in PICTURES if _is_picture(values.get(name))}


def hash_names(values: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """Settings or changes with each input picture's name replaced by `sha256:<hex>`. digests: hex by name."""
    result = dict(values)
    for name in PICTURES:
        if _is_picture(values.get(name)):
            result[name] = _hash(values[name], digests)
    for name in PICTURE_LISTS:
        if values.get(name):
            result[name] = rename_pictures(values[name], lambda picture: _hash(picture, digests))
    return result


def rename_pictures(lines: Sequence[str], name: Callable[[str], str]) -> list[str]:
    """Lines of the form `file:weight:stop` with each file replaced by `name(file)`."""
    pictures = map(prompts.parse_picture, lines)
    return [str(replace(picture, text=name(picture.text))) for picture in pictures]


def _is_picture(name: str | None) -> bool:
    """Whether the value of a field names a picture."""
    return bool(name) and name != ALPHA


def differs(name: str, first: Settings, second: Settings) -> bool:
    """Whether a field differs between two settings. Input pictures are compared by content."""
    values = first.value(name), second.value(name)
    contents = [_by_content(name, value) for value in values] if name in PICTURE_LISTS else values
    return bool(contents[0] != contents[1])


def _by_content(field: str, lines: Sequence[str]) -> list[str]:
    """The lines of a field with each picture named by its sha256."""
    names = [name for name in input_pictures({field: lines}) if not HASHED.fullmatch(name)]
    files = {name: locate(name, field=field) for name in names}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return list(hash_names({field: lines}, digests)[field])


def _hash(name: str, digests: Mapping[str, str]) -> str:
    return name if HASHED.fullmatch(name) else f"sha256:{digests[name]}"


def load_settings(path: str | Path) -> Settings:
    """The settings in a JSON file, or the final settings of a picture.

    Opens no other file and downloads nothing. Warns (PaintWarning) when settings changed while the picture was painted.
    Raises PictureError, RunError, SettingsError.
    """
    if str(path).lower().endswith(".json"):
        return Settings.from_json(Path(path).read_bytes())
    description = read(path)
    if description["timeline"]:
        message = f"settings changed while {str(path)!r} was painted; its final settings are used"
        warnings.warn(f"{message}. `vqclip replay` repeats the whole run", PaintWarning, stacklevel=2)
    return final_settings(description)


def final_settings(description: Mapping[str, Any]) -> Settings:
    """The final settings of a description from `embedded.read`. Raises RunError, SettingsError."""
    timeline = [Edit.from_dict(change).to_dict() for change in description["timeline"]]
    return Settings(**at_the_end(Settings(**description["settings"]).to_dict(), timeline))


def compare(hashes: Mapping[str, str], settings: Settings) -> None:
    """Warn when the model files on this machine have other hashes. Raises models.UnknownModel."""
    local_hashes = model_hashes(settings)
    if changed_names := [name for name, digest in hashes.items() if local_hashes.get(name) not in (digest, None)]:
        message = f"the file of {changed_names[0]} is not the one that this was painted with; the picture may differ"
        warnings.warn(message, PaintWarning, stacklevel=3)
    elif "clip/demo" in hashes and "clip/demo-things" in local_hashes:  # painted before the demo knew drawn things
        message = "the demo models now know a drawn thing in this prompt and paint it differently"
        warnings.warn(message, PaintWarning, stacklevel=3)


def model_hashes(settings: Settings) -> dict[str, str]:
    """The sha256 of each model's published file, or of its packaged files together, by the model's full name.

    For open_clip models it is known only for local files. Raises models.UnknownModel.
    """
    hashes = {}
    names = drawn_things.perceptors(settings.perceptor, settings.prompt)
    for entry in models.chosen(settings.canvases, " + ".join(names)):
        files = entry.weights or [path for path in entry.files() if path.suffix == ".safetensors"][:1]
        if entry.sha256 or files:
            combined = entry.sha256 or hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
            hashes[entry.full_name] = combined
    if drawn_things.drawn_by_prior(settings):
        hashes["prior/demo"] = hashlib.sha256(drawn_things.PRIOR.read_bytes()).hexdigest()
    for name in names:
        if name.startswith(models.OPEN_CLIP) and (digest := models.local_sha256(name)):
            hashes[name] = digest
    return hashes
