"""Shared models: loads networks once for several paintings in a row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Loaded = TypeVar("Loaded")
_kept: dict[tuple[str, str], object] | None = None


@contextmanager
def keep_loaded() -> Iterator[None]:
    """Inside this context, loaded networks are reused by the next painting. Not thread-safe."""
    global _kept
    previous, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = previous


def load_once(kind: str, name: str, load: Callable[[], Loaded]) -> Loaded:
    """The result of `load` for this name; inside `keep_loaded` it is called once."""
    if _kept is None:
        return load()
    if (kind, name) not in _kept:
        _kept[kind, name] = load()
    return _kept[kind, name]  # type: ignore[return-value]


def forget() -> None:
    """Clear the cache, because a network was changed to need less memory."""
    if _kept is not None:
        _kept.clear()
