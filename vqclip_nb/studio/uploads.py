"""Pictures that a person gives to the panel: the button that uploads one, and the files that are kept of them."""

import hashlib
import io
import tempfile
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from PIL import Image

from vqclip_nb import images
from vqclip_nb.errors import PictureError

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
_LOST = {"init_image": "start image", "image_prompts": "image prompt", "mask": "mask", "prompt_masks": "prompt mask"}


class KeptUploads:
    """Files, named by hash in a temporary folder, of what was given as bytes."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def keep(self, data: bytes) -> Path:
        """The file of these bytes, once it is known that they are a picture of sane dimensions. Raises PictureError."""
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="vqclip-given-"))
        try:
            with Image.open(io.BytesIO(data)) as pil:
                suffix = FORMATS.get(pil.format or "", "img")
        except Image.DecompressionBombError:
            most = f"{images.MOST_PIXELS:,}"
            raise PictureError(f"what was given claims to be larger than {most} pixels; shrink it first") from None
        except images.BROKEN:
            raise PictureError("what was given is no picture; PNG, JPEG, WebP and the like are read") from None
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.{suffix}"
        path.write_bytes(data)
        try:
            images.read(path, field="the picture")
        except PictureError:
            path.unlink()
            raise
        return path


def from_a_stranger(name: str, field: str, inputs: Path | None) -> bytes:
    """The bytes of a picture that settings name, looked for by its hash in the folder `inputs`, or None.

    No path that a stranger's file names is opened. Raises PictureError.
    """
    if not images.HASHED.fullmatch(name):
        raise PictureError(f"the settings name a picture by its path, {name!r}; add it again")
    try:
        return images.locate(name, field=field, inputs=inputs).read_bytes()
    except PictureError:
        text = f"The settings are in the form, but no picture carries the {_LOST[field]} that it was painted with; "
        raise PictureError(text + "add that file again") from None


def upload_button(text: str) -> Any:
    """A button that uploads one picture; its words come from the style sheet, without the count of files."""
    button = widgets.FileUpload(accept="image/*", multiple=False, description=text)
    if button.has_trait("tooltip"):
        button.tooltip = text
    button.add_class("vq-upload")
    return button


def uploaded(upload: Any) -> bytes | None:
    """The file that was uploaded, taken out, so that the same can be given again, and no notebook stores it."""
    if not (files := upload.value):
        return None
    data = bytes((next(iter(files.values())) if isinstance(files, dict) else files[0])["content"])
    if isinstance(upload.value, dict):  # ipywidgets 7
        upload.metadata, upload.data, upload._counter = [], [], 0
    else:
        upload.value = ()
    return data
