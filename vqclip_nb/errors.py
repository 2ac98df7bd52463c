"""Errors and warnings. Each message is one line that names the remedy."""


class PaintWarning(UserWarning):
    """Something the user should know; painting continues."""


class SettingsError(ValueError):
    """An invalid setting. The message names the field, the value and what is allowed."""


class PictureError(ValueError):
    """A picture that cannot be read."""


class RunError(ValueError):
    """A run folder that cannot be made, read or written."""


class FilmError(RunError):
    """A film that could not be made. The pictures that it is made of are kept."""


class OutOfMemory(RuntimeError):
    """Memory ran out after all fallbacks. The picture before that step is kept."""


class NotANumber(ArithmeticError):
    """A loss or gradient is not a number. The picture before that step is kept."""
