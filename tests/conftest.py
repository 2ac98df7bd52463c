"""Triton's interpreter stands in for a GPU, where there is none; it must be asked for before Triton is imported."""

import os
import shutil

if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")
