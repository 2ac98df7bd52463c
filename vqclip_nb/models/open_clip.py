"""The models of the open_clip_torch extra, by names like "open_clip/ViT-B-32/laion2b_s34b_b79k"."""

from __future__ import annotations

import difflib
import os
from typing import Any

from vqclip_nb.models.catalog import OPEN_CLIP, UnknownModel, home
from vqclip_nb.models.errors import CannotFetch


def load_open_clip(name: str) -> tuple[Any, Any]:
    """The network and the tokenizer of "open_clip/MODEL/PRETRAINED", on the CPU, fetched into our cache folder.

    Raises `ImportError` without the extra, `UnknownModel` for a name that open_clip does not list, `CannotFetch`.
    """
    if os.environ.get("VQCLIP_OFFLINE"):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when open_clip is imported
    try:
        import open_clip
    except ImportError:
        raise ImportError(f"perceptor {name!r} needs another package: `pip install open_clip_torch`") from None

    model_name, _, tag = name.removeprefix(OPEN_CLIP).rpartition("/")
    if (model_name, tag) not in open_clip.list_pretrained():
        tags = open_clip.list_pretrained_tags_by_model(model_name)
        near = difflib.get_close_matches(tag, tags, n=5, cutoff=0)
        closest = f"the closest of {model_name} are {', '.join(near)}"
        known = closest if tags else "`open_clip.list_pretrained()` lists them"
        raise UnknownModel(f"there is no open_clip model {name!r} (open_clip/MODEL/PRETRAINED); {known}")
    try:
        model = open_clip.create_model(model_name, pretrained=tag, cache_dir=str(home() / "open_clip"))
        return model, open_clip.get_tokenizer(model_name)  # SigLIP's is fetched too
    except ImportError as wrong:
        first = str(wrong).splitlines()[0] if str(wrong) else "a package"
        raise ImportError(f"perceptor {name!r} needs another package ({first}): `pip install transformers`") from None
    except (OSError, RuntimeError) as wrong:
        raise CannotFetch(f"{name} could not be fetched ({str(wrong).splitlines()[0]}); try again later") from None
