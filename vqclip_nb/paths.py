"""Places: a path as a person writes it."""

from pathlib import Path


def expanded(name: str | Path) -> Path:
    """With `~` as the home folder; `~somebody` who is not known here is a name like any other, as in a shell."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
