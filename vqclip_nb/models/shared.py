"""Shared models: networks that are loaded once for several paintings, one after another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Loaded = TypeVar("Loaded")
_kept: dict[tuple[str, str], object] | None = None


@contextmanager
def keep_loaded() -> Iterator[None]:
    """Within this, a network that was loaded is used again by the next painting. Not for two threads at once."""
    global _kept
    before, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = before


def loaded(kind: str, name: str, load: Callable[[], Loaded]) -> Loaded:
    """What `load` returns for this name; within `keep_loaded` it is called once."""
    if _kept is None:
        return load()
    if (kind, name) not in _kept:
        _kept[kind, name] = load()
    return _kept[kind, name]  # type: ignore[return-value]


def forget() -> None:
    """Load anew from here on, as after memory ran out and a network was changed to need less."""
    if _kept is not None:
        _kept.clear()
