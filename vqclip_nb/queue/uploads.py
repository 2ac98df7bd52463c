"""Uploads: pictures that people send. Each is checked, saved as a new PNG without metadata, and named by its hash."""

import hashlib
import io

from vqclip_nb.errors import PictureError
from vqclip_nb.images import PictureFile
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.store import Store
from vqclip_nb.safe_files import write

MOST_BYTES = 20 * 2**20
MOST_FILES = 2000  # at a time; unused files are deleted after a day


def save_upload(store: Store, data: bytes, limits: Limits) -> str:
    """Save a picture and return its name, `sha256:` and digits. Raises PictureError in one line.

    A side is reduced to at most twice `limits.largest_side` pixels.
    """
    if len(data) > MOST_BYTES:
        raise PictureError(f"a picture may have {MOST_BYTES // 2**20} MB, got {len(data) / 2**20:.0f}; shrink it")
    if sum(1 for _ in store.uploads.iterdir()) >= MOST_FILES:
        raise PictureError("too many pictures were sent today; try again tomorrow")
    pil = PictureFile(data).read()
    pil.thumbnail((2 * limits.largest_side, 2 * limits.largest_side))
    file = io.BytesIO()
    pil.save(file, "PNG")
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    write(store.uploads / f"{digest}.png", file.getvalue())
    return f"sha256:{digest}"
