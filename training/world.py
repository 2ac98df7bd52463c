"""The whole demo world: painted scenes, and scenes with drawn things in them, under the same names."""

from __future__ import annotations

import numpy as np
import scenes
import things
from scenes import Scene
from things import NOUNS, OWN_STYLES, Thing

ATTRIBUTES = scenes.ATTRIBUTES | {
    "style": (*scenes.STYLES, *OWN_STYLES),
    "noun": (None, *NOUNS),
    "second": (None, *NOUNS),
}


def caption(scene: Scene | Thing, rng: np.random.Generator | None = None, *, whole: bool = True) -> str:
    """One way to say what a scene shows. See `scenes.caption`."""
    return (things if isinstance(scene, Thing) else scenes).caption(scene, rng, whole=whole)


def labels(scene: Scene | Thing) -> list[int]:
    """A scene as one class index for each of `ATTRIBUTES`, in their order; what a scene does not have is None."""
    return [options.index(getattr(scene, name, None)) for name, options in ATTRIBUTES.items()]


def all_words() -> set[str]:
    """Every word that a caption can hold."""
    return scenes.all_words() | things.all_words()
