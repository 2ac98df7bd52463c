"""What goes wrong on the way to a picture, each said in one line with its remedy."""


class PaintWarning(UserWarning):
    """Something the person should know; the painting goes on."""


class SettingsError(ValueError):
    """A setting that cannot be: names the field, the value and what is allowed."""


class PictureError(ValueError):
    """A picture that cannot be read."""


class RunError(ValueError):
    """A run folder that cannot be made, read or written."""


class FilmError(RunError):
    """A film that could not be made. The pictures that it is made of are kept."""


class OutOfMemory(RuntimeError):
    """Memory ran out although all that could be saved was saved. The picture before that step is kept."""


class NotANumber(ArithmeticError):
    """A loss stopped being a number. The picture before that step is kept."""
