"""Embedded descriptions: the JSON inside a picture or a film. It is written and read here, not interpreted.

A PNG holds it as iTXt under the key `vqclip`, a JPEG and a WebP in EXIF (ImageDescription), an mp4 as its comment. The
pictures also hold the `parameters` line that other tools' viewers show (iTXt; EXIF's UserComment).
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vqclip_nb.errors import PictureError
from vqclip_nb.images import BROKEN, first_line
from vqclip_nb.safe_files import write

KEY, VERSION = "vqclip", 2
_FILMS = "of films an mp4 does"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # by the end of a file's name
_DESCRIPTION, _EXIF_IFD, _USER_COMMENT = 0x010E, 0x8769, 0x9286
_MOST_EXIF = 65_000  # bytes; a JPEG holds no more
_MOST_MP4_TAGS = 1 << 26


def encode(pil: Image.Image, format: str, description: Mapping[str, Any] | None, **options: Any) -> bytes:
    """Encode a picture as PNG, JPEG or WEBP, with its description inside, unless that is None."""
    if description and format == "PNG":
        options["pnginfo"] = _png_text(description)
    elif description and len(exif := _exif(description)) < _MOST_EXIF:
        options["exif"] = exif
    file = io.BytesIO()
    pil.save(file, format, **options)
    return file.getvalue()


def write_as(pil: Image.Image, path: Path, description: Mapping[str, Any] | None = None) -> None:
    """Write a picture as the format that the file's name ends in. Raises OSError."""
    form = FORMATS[path.suffix.lower()]
    options = {} if form == "PNG" else {"quality": 95}
    write(path, encode(pil.convert("RGB"), form, description, **options))


def copy(picture: Path, to: Path) -> None:
    """Copy a picture to another file, in the format of its name, with the settings inside. Raises OSError."""
    try:
        about = read(picture)
    except PictureError:  # it has no settings inside
        about = None
    with Image.open(picture) as pil:
        write_as(pil, to, about)


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
    """The final settings as other tools write them: the prompt, then one line of `Name: value`."""
    settings = at_the_end(description["settings"], description["timeline"])
    width, height = settings["size"]
    facts = {
        "Steps": settings["steps"],
        "Sampler": settings["optimizer"],
        "Seed": settings["seed"],
        "Size": f"{width}x{height}",
        "Model": settings["canvas"],
        "Perceptor": settings["perceptor"],
        "Cutouts": f"{settings['cutn']} {settings['cutouts']}",
    }
    options = settings.get("canvas_options") or {}
    facts |= {name.replace("_", " ").capitalize(): value for name, value in options.items() if value is not None}
    return settings["prompt"] + "\n" + ", ".join(f"{name}: {value}" for name, value in facts.items())


def at_the_end(settings: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings after all edits of a timeline."""
    result = dict(settings)
    for change in timeline:
        if number := change.get("variation"):
            result |= {"seed": result["seed"] + number - 1, "variations": 1}
        new = dict(change["settings"])
        options = dict(new.pop("canvas_options", {}) if "canvas" in new else result.get("canvas_options", {}))
        for name, value in new.items():  # an edit names canvas options directly
            (options if name in options else result)[name] = value
        result |= {"canvas_options": options} if options or "canvas" in new else {}
    return result


def read(path: str | Path) -> dict[str, Any]:
    """The description inside a picture or an mp4, with at least `settings` and `timeline`. No pixels are decoded.

    Raises PictureError when the picture cannot be read, holds no settings, or holds those of a later version.
    """
    try:
        text = _mp4_comment(Path(path)) if str(path).lower().endswith(".mp4") else _picture_text(path)
        description = json.loads(text) if text else None
    except FileNotFoundError:
        raise PictureError(f"there is no file {str(path)!r}") from None
    except BROKEN as error:
        if str(path).lower().endswith(".gif"):
            raise PictureError(f"{str(path)!r} holds no settings: a gif cannot; {_FILMS}") from None
        raise PictureError(f"{str(path)!r} cannot be read as a picture: {first_line(error)}") from None
    if not isinstance(description, dict) or not isinstance(description.get("settings"), dict):
        remedy = f"a picture painted by vqclip does, unless --no-metadata left them out; {_FILMS}"
        raise PictureError(f"{str(path)!r} holds no settings; {remedy}")
    version, timeline = description.get("version"), description.setdefault("timeline", [])
    if type(version) is int and version > VERSION:
        problem = f"has settings of version {version}, from a newer version of vqclip"
        raise PictureError(f"{str(path)!r} {problem}; update vqclip")
    if not isinstance(timeline, list) or not all(isinstance(name, str) for name in description["settings"]):
        raise PictureError(f"{str(path)!r} has settings that are not valid")
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
