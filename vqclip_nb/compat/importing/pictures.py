"""Pictures: the metadata that pixray, rkhamilton, nerdyrodent and the notebook wrote into them."""

import ast
import re
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip_nb.compat import generate, notebook
from vqclip_nb.compat.importing.documents import MOST_TEXT
from vqclip_nb.compat.importing.imported import Imported
from vqclip_nb.compat.importing.translate import translate_options
from vqclip_nb.errors import PictureError, SettingsError
from vqclip_nb.images import BROKEN, first_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_XMP = re.compile(r"<dc:(title|model|seed)>.*?<rdf:li[^>]*>(.*?)</rdf:li>", re.DOTALL)
_PATHS = ("init_image", "image_prompts", "target_images", "overlay_image")


def read(path: Path) -> Imported:
    """The settings inside a picture. Raises PictureError, and SettingsError if it has none of a known tool."""
    texts = _texts(path)
    if "vqclip" in texts:
        raise SettingsError(f"{str(path)!r} was painted by vqclip; `vqclip info` shows how, and paints it again")
    ours = {name: value for name, value in texts.items() if name not in _PATHS}
    paths = [name for name in texts if name.removeprefix("pixray_") in _PATHS and texts[name] not in ("", "None", "[]")]
    notes = [f"{name.removeprefix('pixray_')}: a path inside a picture is not opened; name the file" for name in paths]
    if str(texts.get("Software", "")).startswith("pixray"):
        values = {
            name.removeprefix("pixray_"): _value(text) for name, text in ours.items() if name.startswith("pixray_")
        }
        values = {name: value for name, value in values.items() if name not in _PATHS}
        if "seed_used" in values:
            values["seed"] = values.pop("seed_used")
        return translate_options("pixray", values, notes)
    if {"text_prompts", "iterations"} <= texts.keys():
        return translate_options("rkhamilton", {name: _value(text) for name, text in ours.items()}, notes)
    if "comment" in texts and isinstance(prompts := _value(texts["comment"]), list):
        plan = generate.plan({"prompts": " | ".join(map(str, prompts))})
        more = "all but the prompts: generate.py wrote nothing else into its pictures"
        return Imported(generate.TOOL.title, plan.settings, plan.preset, (more, *notes))
    if fields := dict(_XMP.findall(texts.get("XML:com.adobe.xmp", ""))):
        return _of_notebook(fields, notes)
    raise SettingsError(f"{str(path)!r} holds no settings of a known tool")


def _of_notebook(fields: dict[str, str], notes: list[str]) -> Imported:
    arguments: dict[str, Any] = {"texts": fields.get("title", "")}
    arguments |= {"seed": fields["seed"]} if fields.get("seed", "").isdecimal() else {}
    plan = notebook.plan(arguments)
    more = "size, cutn and step_size: the notebook did not write them into its pictures"
    return Imported(notebook.TOOL.title, plan.settings, plan.preset, (more, *notes))


def _texts(path: Path) -> dict[str, str]:
    """The texts in a picture, each with a length limit; no pixels are decoded. Raises PictureError."""
    try:
        with Image.open(path, formats=["PNG", "JPEG", "WEBP"]) as pil:
            texts = getattr(pil, "text", None) or {k: v for k, v in pil.info.items() if isinstance(v, str)}
            return {str(name): str(value)[:MOST_TEXT] for name, value in texts.items()}
    except FileNotFoundError:
        raise PictureError(f"there is no file {str(path)!r}") from None
    except BROKEN as error:
        raise PictureError(f"{str(path)!r} cannot be read as a picture: {first_line(error)}") from None


def _value(text: str) -> Any:
    """A text parsed as a Python literal, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
