"""Provenance: what a picture says about itself, enough to paint it again.

A PNG holds it as JSON under the key `vqclip` (version, settings, package, models), beside the `parameters` line that
other tools' viewers show. Given pictures are named by their sha256; no path, user or machine is in it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vqclip_nb import __version__, models, prompts
from vqclip_nb.errors import PictureError
from vqclip_nb.images import BROKEN, first_line
from vqclip_nb.settings import Settings

KEY, VERSION = "vqclip", 1


def describe(settings: Settings, digests: Mapping[str, str], hashes: Mapping[str, str]) -> dict[str, Any]:
    """What a picture painted with these settings says.

    `digests` gives each given picture's sha256 by its name, `hashes` is what `model_hashes` gave.
    """
    return {
        "version": VERSION,
        "settings": unnamed(settings, digests),
        "package": __version__,
        "models": dict(hashes),
    }


def given_pictures(settings: Settings) -> dict[str, str]:
    """The names of the pictures that settings give, each with its field."""
    named = {prompts.parse_picture(line).text: "image_prompts" for line in settings.image_prompts}
    return named | ({settings.init_image: "init_image"} if settings.init_image else {})


def unnamed(settings: Settings, digests: Mapping[str, str]) -> dict[str, Any]:
    """The settings' recipe, with each given picture's name replaced by `sha256:<hex>`."""
    recipe = settings.recipe()
    if settings.init_image:
        recipe["init_image"] = f"sha256:{digests[settings.init_image]}"
    given = [prompts.parse_picture(line) for line in settings.image_prompts]
    recipe["image_prompts"] = [str(replace(picture, text=f"sha256:{digests[picture.text]}")) for picture in given]
    return recipe


def png_text(description: Mapping[str, Any]) -> PngInfo:
    """A description as the text chunks of a PNG."""
    text = PngInfo()
    text.add_itxt(KEY, json.dumps(description, ensure_ascii=False))
    text.add_itxt("parameters", parameters(description["settings"]))
    return text


def parameters(recipe: Mapping[str, Any]) -> str:
    """A recipe as the prompt and one line of `Name: value`, the way other tools write and show it."""
    width, height = recipe["size"]
    named = {
        "Steps": recipe["steps"],
        "Sampler": recipe["optimizer"],
        "Seed": recipe["seed"],
        "Size": f"{width}x{height}",
        "Model": recipe["canvas"],
        "Perceptor": recipe["perceptor"],
        "Cutouts": f"{recipe['cutn']} {recipe['cutouts']}",
    }
    return recipe["prompt"] + "\n" + ", ".join(f"{name}: {value}" for name, value in named.items())


def read(path: str | Path) -> dict[str, Any]:
    """The description inside a picture, its `settings` among it. Decodes no pixels, opens nothing else.

    Raises PictureError when it is no readable picture, or holds no settings.
    """
    try:
        with Image.open(path) as pil:
            text = getattr(pil, "text", {}).get(KEY) if pil.format == "PNG" else None
        description = json.loads(text) if text else None
    except FileNotFoundError:
        raise PictureError(f"there is no file {str(path)!r}") from None
    except BROKEN as error:
        raise PictureError(f"{str(path)!r} cannot be read as a picture: {first_line(error)}") from None
    if not isinstance(description, dict) or not isinstance(description.get("settings"), dict):
        raise PictureError(
            f"{str(path)!r} holds no settings; a PNG painted by vqclip does, unless --no-metadata left them out"
        )
    if not all(isinstance(name, str) for name in description["settings"]):
        raise PictureError(f"{str(path)!r} holds settings that are not ours")
    return description


def model_hashes(settings: Settings) -> dict[str, str]:
    """The sha256 of each model's published file, or of its first packaged one, by the model's full name.

    Raises models.UnknownModel.
    """
    family, _, model = settings.canvas.partition("/")
    named = [(name.strip(), "clip") for name in settings.perceptor.split("+")] + ([(model, family)] if model else [])
    hashes = {}
    for name, kind in named:
        entry = models.info(name, kind)
        weights = [path for path in entry.files() if path.suffix == ".safetensors"]
        if digest := entry.sha256 or next((hashlib.sha256(path.read_bytes()).hexdigest() for path in weights), None):
            hashes[entry.full_name] = digest
    return hashes
