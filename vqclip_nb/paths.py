"""Paths: home folders in paths that a person wrote."""

from pathlib import Path


def expand_home(name: str | Path) -> Path:
    """The path with `~` replaced by the home folder. An unknown `~name` stays as it is, as in a shell."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
