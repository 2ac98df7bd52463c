"""Errors of downloading and loading models. Each message is one line."""


class BrokenWeights(ValueError):
    """A file of weights cannot be used: wrong format, missing tensors, or code inside."""


class CannotFetch(OSError):
    """A file could not be downloaded; the message has the failure of each address, and the remedy."""
