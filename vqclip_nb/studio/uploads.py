"""Uploads: the button that uploads a picture to the panel, and the temporary files of uploaded pictures."""

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
    """Pictures saved in a temporary folder and named by hash."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def keep(self, data: bytes) -> Path:
        """Save a picture's bytes and return the path. Raises PictureError if they are no picture, or one too large."""
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="vqclip-given-"))
        try:
            with Image.open(io.BytesIO(data)) as pil:
                suffix = FORMATS.get(pil.format or "", "img")
        except Image.DecompressionBombError:
            most = f"{images.MOST_PIXELS:,}"
            raise PictureError(f"the picture has more than {most} pixels; shrink it first") from None
        except images.BROKEN:
            raise PictureError("the file is not a picture; use PNG, JPEG or WebP") from None
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.{suffix}"
        path.write_bytes(data)
        try:
            images.read(path, field="the picture")
        except PictureError:
            path.unlink()
            raise
        return path


def read_untrusted(name: str, field: str, inputs: Path | None) -> bytes:
    """The bytes of a picture in untrusted settings, found by its hash in the folder `inputs`.

    A path in the settings is not opened. Raises PictureError.
    """
    if not images.HASHED.fullmatch(name):
        raise PictureError(f"the settings name a picture by its path, {name!r}; add it again")
    try:
        return images.locate(name, field=field, inputs=inputs).read_bytes()
    except PictureError:
        text = f"The settings are in the form, but a picture's metadata has no {_LOST[field]}; "
        raise PictureError(text + "add that file again") from None


def upload_button(text: str) -> Any:
    """A button that uploads one picture. The style sheet sets its text, to hide ipywidgets' count of files."""
    button = widgets.FileUpload(accept="image/*", multiple=False, description=text)
    if button.has_trait("tooltip"):
        button.tooltip = text
    button.add_class("vq-upload")
    return button


def take_upload(upload: Any) -> bytes | None:
    """The bytes of the uploaded file. The widget is emptied, so that a notebook does not store the file, and the same
    file can be uploaded again.
    """
    if not (files := upload.value):
        return None
    data = bytes((next(iter(files.values())) if isinstance(files, dict) else files[0])["content"])
    if isinstance(upload.value, dict):  # ipywidgets 7
        upload.metadata, upload.data, upload._counter = [], [], 0
    else:
        upload.value = ()
    return data
