"""Paint a picture from a sentence: CLIP guides VQGAN.

>>> from vqclip_nb import Settings, paint
>>> for frame in paint(Settings(prompt="a red house by the sea at sunset, an oil painting")):
...     ...
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqclip_nb.runs.metadata import load_settings
    from vqclip_nb.session import paint
    from vqclip_nb.settings import Settings
    from vqclip_nb.studio import Studio

__version__ = "0.1.0"
__all__ = ["Settings", "Studio", "load_settings", "paint"]

# Read when first asked for, so that importing the package costs nothing.
_HOMES = {
    "Settings": "vqclip_nb.settings",
    "Studio": "vqclip_nb.studio",
    "load_settings": "vqclip_nb.runs.metadata",
    "paint": "vqclip_nb.session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
