"""Freed memory: what a process does with it. Loads no torch."""

import ctypes
import sys


def keep_freed() -> None:
    """Let this process keep the memory that it frees, where its C library can (glibc): for itself, not for the system.

    A step's large tensors are then not given back and cleared anew, which took a fifth of a large decoder's time.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD: up to 1 GB comes from the heap
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap's end stays
