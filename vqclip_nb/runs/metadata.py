"""Provenance: what a picture says about itself, enough to paint it again.

It is a JSON object:

    version     1; a reader refuses later ones
    settings    the recipe at the first step, as `Settings.recipe` gives it
    timeline    what changed while painting: [{"step": 40, "settings": {"lr": 0.05}}, …], with "variation": k where one
                picture of several was picked
    step        the steps made when the picture was finished
    package     the version of vqclip_nb
    models      the sha256 of each model's file, by its full name

A PNG holds it as iTXt under the key `vqclip`, a JPEG and a WebP in EXIF (ImageDescription), an mp4 as its comment; the
pictures also hold the `parameters` line that other tools' viewers show (iTXt; EXIF's UserComment). Given pictures are
named by their sha256; no path, user or machine is in it.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vqclip_nb import __version__, models, prompts
from vqclip_nb.errors import PaintWarning, PictureError
from vqclip_nb.images import BROKEN, HASHED, first_line, locate
from vqclip_nb.settings import Settings
from vqclip_nb.timeline import Edit

KEY, VERSION = "vqclip", 1
_DESCRIPTION, _EXIF_IFD, _USER_COMMENT = 0x010E, 0x8769, 0x9286
_MOST_EXIF = 65_000  # bytes; a JPEG holds no more
_MOST_MP4_TAGS = 1 << 26


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
    named = {prompts.parse_picture(line).text: "image_prompts" for line in recipe.get("image_prompts") or ()}
    return named | ({recipe["init_image"]: "init_image"} if recipe.get("init_image") else {})


def unnamed(recipe: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """A recipe, or a change, with each given picture's name replaced by `sha256:<hex>`; `digests` has them by name."""
    hidden = dict(recipe)
    if recipe.get("init_image"):
        hidden["init_image"] = _hashed(recipe["init_image"], digests)
    if recipe.get("image_prompts"):
        given = [prompts.parse_picture(line) for line in recipe["image_prompts"]]
        hidden["image_prompts"] = [str(replace(picture, text=_hashed(picture.text, digests))) for picture in given]
    return hidden


def differs(name: str, one: Settings, other: Settings) -> bool:
    """Whether a field of the two differs; given pictures are the same when what is in them is the same."""
    first, second = getattr(one, name), getattr(other, name)
    return _by_content(first) != _by_content(second) if name == "image_prompts" else first != second


def _by_content(lines: Sequence[str]) -> list[str]:
    names = [name for name in given_pictures({"image_prompts": lines}) if not HASHED.fullmatch(name)]
    files = {name: locate(name, field="image_prompts") for name in names}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return list(unnamed({"image_prompts": lines}, digests)["image_prompts"])


def _hashed(name: str, digests: Mapping[str, str]) -> str:
    return name if HASHED.fullmatch(name) else f"sha256:{digests[name]}"


def encode(pil: Image.Image, format: str, description: Mapping[str, Any] | None, **options: Any) -> bytes:
    """A picture as the bytes of a PNG, JPEG or WEBP file, with what it says of itself, unless that is None."""
    if description and format == "PNG":
        options["pnginfo"] = _png_text(description)
    elif description and len(exif := _exif(description)) < _MOST_EXIF:
        options["exif"] = exif
    file = io.BytesIO()
    pil.save(file, format, **options)
    return file.getvalue()


def _png_text(description: Mapping[str, Any]) -> PngInfo:
    text = PngInfo()
    text.add_itxt(KEY, json.dumps(description, ensure_ascii=False))
    text.add_itxt("parameters", parameters(description))
    return text


def _exif(description: Mapping[str, Any]) -> bytes:
    exif = Image.Exif()
    exif[_DESCRIPTION] = json.dumps(description)
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + parameters(description).encode("utf-16-be")
    return exif.tobytes()


def parameters(description: Mapping[str, Any]) -> str:
    """The prompt and one line of `Name: value`, as they were at the end, the way other tools write and show it."""
    recipe = at_the_end(description["settings"], description["timeline"])
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


def at_the_end(recipe: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A recipe after all changes."""
    changed = dict(recipe)
    for change in timeline:
        if number := change.get("variation"):
            changed |= {"seed": changed["seed"] + number - 1, "variations": 1}
        changed |= change["settings"]
    return changed


def settled(told: Mapping[str, Any]) -> Settings:
    """The settings at the end of what `read` gave. Raises RunError, SettingsError."""
    timeline = [Edit.from_dict(change).to_dict() for change in told["timeline"]]
    return Settings(**at_the_end(Settings(**told["settings"]).to_dict(), timeline))


def read(path: str | Path) -> dict[str, Any]:
    """The description inside a picture or an mp4, `settings` and `timeline` among it. Decodes no pixels, opens nothing.

    Raises PictureError when it is no readable picture, holds no settings, or those of a later version.
    """
    try:
        text = _mp4_comment(Path(path)) if str(path).lower().endswith(".mp4") else _picture_text(path)
        description = json.loads(text) if text else None
    except FileNotFoundError:
        raise PictureError(f"there is no file {str(path)!r}") from None
    except BROKEN as error:
        raise PictureError(f"{str(path)!r} cannot be read as a picture: {first_line(error)}") from None
    if not isinstance(description, dict) or not isinstance(description.get("settings"), dict):
        remedy = "a picture painted by vqclip does, unless --no-metadata left them out"
        raise PictureError(f"{str(path)!r} holds no settings; {remedy}")
    version, timeline = description.get("version"), description.setdefault("timeline", [])
    if type(version) is int and version > VERSION:
        raise PictureError(f"{str(path)!r} holds settings of version {version}, from a newer vqclip; update this one")
    if not isinstance(timeline, list) or not all(isinstance(name, str) for name in description["settings"]):
        raise PictureError(f"{str(path)!r} holds settings that are not ours")
    return description


def _picture_text(path: str | Path) -> Any:
    """The JSON in a PNG, JPEG or WebP, or None."""
    with Image.open(path, formats=["PNG", "JPEG", "WEBP"]) as pil:
        return getattr(pil, "text", {}).get(KEY) if pil.format == "PNG" else pil.getexif().get(_DESCRIPTION)


def _mp4_comment(path: Path) -> str | None:
    """The comment of an mp4 (moov, udta, meta, ilst, ©cmt, data), or None."""
    with open(path, "rb") as file:
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[:4], "big")
            if head[4:] == b"moov" and size < _MOST_MP4_TAGS:
                tags = file.read(size - 8)
                at = tags.find(b"\xa9cmt") + 4  # then: size, b"data", type and locale
                length = int.from_bytes(tags[at : at + 4], "big")
                return tags[at + 16 : at + length].decode() if tags[at + 4 : at + 8] == b"data" else None
            if size < 8:
                return None
            file.seek(size - 8, 1)
    return None


def compare(hashes: Mapping[str, str], settings: Settings) -> None:
    """Warn when the models here are other files than those with these hashes. Raises models.UnknownModel."""
    here = model_hashes(settings)
    if others := [name for name, digest in hashes.items() if here.get(name) not in (digest, None)]:
        said = f"{others[0]} is another file here than the one this was painted with; the picture may differ"
        warnings.warn(said, PaintWarning, stacklevel=3)


def model_hashes(settings: Settings) -> dict[str, str]:
    """The sha256 of each model's published file, or of its packaged ones together, by the model's full name.

    Raises models.UnknownModel.
    """
    hashes = {}
    for entry in models.chosen(settings.canvas, settings.perceptor):
        files = entry.weights or [path for path in entry.files() if path.suffix == ".safetensors"][:1]
        if entry.sha256 or files:
            joined = entry.sha256 or hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
            hashes[entry.full_name] = joined
    return hashes
