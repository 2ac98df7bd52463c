"""What can go wrong between an address and a network, each said in one line."""


class BrokenWeights(ValueError):
    """A file of weights is not what it should be: wrong format, missing tensors, or code inside."""


class CannotFetch(OSError):
    """No address gave the file; the message says what each of them did, and the remedy."""
