"""Metadata: what a picture says about itself, enough to paint it again.

It is a JSON object:

    version     2; a reader refuses later ones. Version 1 had `tidy` among the settings, not in `canvas_options`
    settings    those at the first step, as `Settings.to_dict` gives them
    timeline    what changed while painting: [{"step": 40, "settings": {"lr": 0.05}}, …], with "variation": k where one
                picture of several was picked
    step        the steps made when the picture was finished
    package     the version of vqclip_nb
    models      the sha256 of each model's file, by its full name

Pictures that were given are named by their sha256; no path, user or machine is in it. `embedded` writes and reads it.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqclip_nb import __version__, models, perceptor_names, prompts
from vqclip_nb.embedded import VERSION, at_the_end, read
from vqclip_nb.errors import PaintWarning
from vqclip_nb.images import HASHED, locate
from vqclip_nb.layout_fields import ALPHA
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

PICTURES = ("init_image", "mask", "video")  # the fields that name one picture, or a film
PICTURE_LISTS = ("image_prompts", "prompt_masks")  # and those that name several


def describe(
    settings: Settings, *, timeline: Sequence[Mapping[str, Any]] = (), step: int, hashes: Mapping[str, str]
) -> dict[str, Any]:
    """What a picture says, painted with settings and changes that name given pictures by sha256 alone.

    `hashes` is what `model_hashes` gave.
    """
    return {
        "version": VERSION,
        "settings": settings.to_dict(),
        "timeline": list(timeline),
        "step": step,
        "package": __version__,
        "models": dict(hashes),
    }


def given_pictures(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The names of the pictures that a recipe, or a change, gives, each with its field."""
    lists = ((name, line) for name in PICTURE_LISTS for line in recipe.get(name) or ())
    named = {prompts.parse_picture(line).text: name for name, line in lists}
    return named | {recipe[name]: name for name in PICTURES if _is_picture(recipe.get(name))}


def unnamed(recipe: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """A recipe, or a change, with each given picture's name replaced by `sha256:<hex>`; `digests` has them by name."""
    hidden = dict(recipe)
    for name in PICTURES:
        if _is_picture(recipe.get(name)):
            hidden[name] = _hashed(recipe[name], digests)
    for name in PICTURE_LISTS:
        if recipe.get(name):
            hidden[name] = renamed(recipe[name], lambda picture: _hashed(picture, digests))
    return hidden


def renamed(lines: Sequence[str], name: Callable[[str], str]) -> list[str]:
    """Lines that name pictures, each `file:weight:stop`, with other names for the files."""
    pictures = map(prompts.parse_picture, lines)
    return [str(replace(picture, text=name(picture.text))) for picture in pictures]


def _is_picture(name: str | None) -> bool:
    """Whether a field that may name a picture does so."""
    return bool(name) and name != ALPHA


def differs(name: str, one: Settings, other: Settings) -> bool:
    """Whether a field of the two differs; given pictures are the same when what is in them is the same."""
    first, second = one.value(name), other.value(name)
    return _by_content(name, first) != _by_content(name, second) if name in PICTURE_LISTS else first != second


def _by_content(field: str, lines: Sequence[str]) -> list[str]:
    names = [name for name in given_pictures({field: lines}) if not HASHED.fullmatch(name)]
    files = {name: locate(name, field=field) for name in names}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return list(unnamed({field: lines}, digests)[field])


def _hashed(name: str, digests: Mapping[str, str]) -> str:
    return name if HASHED.fullmatch(name) else f"sha256:{digests[name]}"


def load_settings(path: str | Path) -> Settings:
    """The settings in a JSON file, or those that a picture was painted with, as they were at its end.

    Opens nothing else and fetches nothing. Warns (PaintWarning) when a picture was changed while it was painted, or
    branched. Raises PictureError, RunError, SettingsError.
    """
    if str(path).lower().endswith(".json"):
        return Settings.from_json(Path(path).read_bytes())
    description = read(path)
    if description["timeline"]:
        said = f"{str(path)!r} was changed while it was painted; its settings at the end are used"
        warnings.warn(f"{said}. `vqclip replay` repeats the whole run", PaintWarning, stacklevel=2)
    return settled(description)


def settled(told: Mapping[str, Any]) -> Settings:
    """The settings at the end of what `read` gave. Raises RunError, SettingsError."""
    timeline = [Edit.from_dict(change).to_dict() for change in told["timeline"]]
    return Settings(**at_the_end(Settings(**told["settings"]).to_dict(), timeline))


def compare(hashes: Mapping[str, str], settings: Settings) -> None:
    """Warn when the models here are other files than those with these hashes. Raises models.UnknownModel."""
    here = model_hashes(settings)
    if others := [name for name, digest in hashes.items() if here.get(name) not in (digest, None)]:
        said = f"{others[0]} is another file here than the one this was painted with; the picture may differ"
        warnings.warn(said, PaintWarning, stacklevel=3)


def model_hashes(settings: Settings) -> dict[str, str]:
    """The sha256 of each model's published file, or of its packaged ones together, by the model's full name.

    Of open_clip's it is known for files of one's own alone.

    Raises models.UnknownModel.
    """
    hashes = {}
    for entry in models.chosen(settings.canvases, settings.perceptor):
        files = entry.weights or [path for path in entry.files() if path.suffix == ".safetensors"][:1]
        if entry.sha256 or files:
            joined = entry.sha256 or hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
            hashes[entry.full_name] = joined
    for name in perceptor_names.parse(settings.perceptor):
        if name.startswith(models.OPEN_CLIP) and (digest := models.local_sha256(name)):
            hashes[name] = digest
    return hashes
