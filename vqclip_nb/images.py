"""Images: pictures as files, as PIL images and as tensors."""

import hashlib
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from vqclip_nb.errors import PictureError
from vqclip_nb.paths import expand_home
from vqclip_nb.safe_files import files
from vqclip_nb.safe_files import read as read_plain

if TYPE_CHECKING:
    from torch import Tensor

MOST_PIXELS = 100_000_000  # larger pictures are refused before they are decoded
HASHED = re.compile(r"sha256:[0-9a-f]{64}")  # the name of a picture that is stored by its content
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
_BOMB = Image.DecompressionBombError
BROKEN = (OSError, SyntaxError, ValueError, EOFError, KeyError, zlib.error, RecursionError, _BOMB)


@dataclass(frozen=True)
class PictureFile:
    """A picture as a file that a run stores: its bytes, and the suffix of its format."""

    data: bytes
    suffix: str = ".png"

    @classmethod
    def of(cls, picture: "str | Path | Image.Image | Tensor", *, inputs: Path | None = None) -> "PictureFile":
        """From a file's name, which `locate` finds, a PIL image, or a tensor (1, 3, H, W) RGB in [0, 1].

        A PIL image and a tensor become a PNG of 8 bits a channel. Raises PictureError.
        """
        if isinstance(picture, str | Path):
            path = locate(str(picture), field="init_image", inputs=inputs)
            return cls(path.read_bytes(), path.suffix.lower() or ".img")
        if isinstance(picture, Image.Image):
            pil = picture if picture.mode in _PNG_MODES else picture.convert("RGB")
        elif picture.dim() == 4 and picture.shape[:2] == (1, 3):
            (pil,) = to_pils(picture)
        else:
            raise PictureError(f"image must be one picture, (1, 3, H, W), got {tuple(picture.shape)}")
        file = io.BytesIO()
        pil.save(file, "PNG")
        return cls(file.getvalue())

    @property
    def name(self) -> str:
        """`sha256:` and the digest of the bytes."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def read(self) -> Image.Image:
        """The picture as upright RGB. Raises PictureError."""
        return _upright(io.BytesIO(self.data), f"picture {self.name[:19]}…", field="image")


def locate(name: str, *, field: str, inputs: Path | None = None) -> Path:
    """The file of an input picture: `name` is its path, or `sha256:<hex>` for a file in the folder `inputs`.

    Raises PictureError, naming `field`, when there is no such file.
    """
    if HASHED.fullmatch(name):
        digest, flag = name.removeprefix("sha256:"), "--" + field.replace("_", "-")
        paths = files(inputs, digest + "*") if inputs else []
        for path in paths:
            if hashlib.sha256(read_plain(path)).hexdigest() == digest:
                return path
        if paths:
            message = f"{field} {name[:19]}… is damaged, or another file: {str(paths[0])!r} has another hash"
            raise PictureError(f"{message}; paint anew with {flag}")
        message = f"{field} is known only by its hash, {name[:19]}…, and is not in the folder `inputs` of the run"
        raise PictureError(f"{message}; leave pictures within their run's folder, or paint anew with {flag}")
    kind = "film" if field == "video" else "picture"
    if "://" in name:
        raise PictureError(f"{field} must be a file, got the address {name!r}; download it first")
    path = expand_home(name)
    if path.is_dir():
        raise PictureError(f"{field} must be a {kind} file, got {name!r}: it is a folder; name a {kind} in it")
    if not path.is_file():
        raise PictureError(f"{field} must be a {kind} file, got {name!r}: there is no such file")
    return path


def covering(pil: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale and crop a picture about its middle to fill `size`, width and height in pixels."""
    return ImageOps.fit(pil, size, Image.Resampling.LANCZOS)


def read(path: Path, *, field: str) -> Image.Image:
    """Read a picture as upright RGB, with transparent parts on white.

    Raises PictureError, naming `field`, in one line.
    """
    return _upright(path, repr(str(path)), field=field)


def transparency(path: Path, *, field: str) -> Image.Image:
    """The transparency of a picture, upright, as grey: 255 is wholly transparent. Raises PictureError."""
    read(path, field=field)  # for its checks
    with Image.open(path) as pil:
        alpha = _in_bytes(ImageOps.exif_transpose(pil)).convert("RGBA").getchannel("A")
    return ImageOps.invert(alpha)


def _upright(file: Path | io.BytesIO, label: str, *, field: str) -> Image.Image:
    try:
        with Image.open(file) as pil:
            if pil.width * pil.height > MOST_PIXELS:
                raise PictureError(f"it has {pil.width} x {pil.height} pixels, more than {MOST_PIXELS:,}; shrink it")
            upright = _in_bytes(ImageOps.exif_transpose(pil)).convert("RGBA")
    except UnidentifiedImageError:
        raise PictureError(f"{field} must be a picture (PNG, JPEG, WebP, …), got {label}: it is not one") from None
    except BROKEN as error:
        raise PictureError(f"{field} must be a readable picture, got {label}: {first_line(error)}") from None
    white = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(white, upright).convert("RGB")


def _in_bytes(pil: Image.Image) -> Image.Image:
    """Convert grey of 16 bits to 8 bits; Pillow alone would clip it at 255. Raises ValueError for float grey."""
    if pil.mode == "F":
        raise ValueError("its grey is of neither 8 nor 16 bits; save it as one of these")
    deep = pil.mode.startswith("I") and pil.getextrema()[1] > 255  # type: ignore[operator]
    return pil.convert("I").point(lambda grey: grey * (1 / 257)).convert("L") if deep else pil


def to_tensor(pil: Image.Image) -> "Tensor":
    """RGB -> (1, 3, H, W) float32 in [0, 1]."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(pil.convert("RGB"))).movedim(-1, 0)[None].float() / 255


def to_bytes(image: "Tensor") -> "Tensor":
    """(n, 3, H, W) RGB in [0, 1] -> (n, H, W, 3) bytes, on the same device, without waiting for it."""
    return image.detach().mul(255).round().clamp(0, 255).byte().movedim(1, -1)


def to_pils(image: "Tensor") -> list[Image.Image]:
    """(n, 3, H, W) RGB in [0, 1], or the result of `to_bytes` -> n pictures. Waits for the device."""
    pixels = to_bytes(image) if image.is_floating_point() else image
    return [Image.fromarray(picture) for picture in pixels.cpu().numpy()]


def grid(pils: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size in a grid that is nearly square; one picture is returned as it is."""
    if len(pils) == 1:
        return pils[0]
    columns = _columns(len(pils))
    rows = -(-len(pils) // columns)
    width, height = pils[0].size
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for index, pil in enumerate(pils):
        sheet.paste(pil, (index % columns * width, index // columns * height))
    return sheet


def cell(sheet: Image.Image, index: int, count: int) -> Image.Image:
    """The picture with this index, from 0, of a grid of `count`."""
    columns, rows = _columns(count), -(-count // _columns(count))
    width, height = sheet.width // columns, sheet.height // rows
    left, top = index % columns * width, index // columns * height
    return sheet.crop((left, top, left + width, top + height))


def _columns(count: int) -> int:
    return next(columns for columns in range(1, count + 1) if columns * columns >= count)


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
