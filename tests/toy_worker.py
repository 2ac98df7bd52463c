"""The queue's worker with toy models: `python tests/toy_worker.py FOLDER NAME DEVICE`."""

import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from tests.toys import toy_models
from vqclip_nb.queue.worker import main

if __name__ == "__main__":
    torch.set_num_threads(1)
    with (
        toy_models(),
        mock.patch("vqclip_nb.video._encode", lambda frames, path, *rest: path.write_bytes(b"film")),
        mock.patch("vqclip_nb.runs.metadata.model_hashes", return_value={}),
    ):
        sys.exit(main())
