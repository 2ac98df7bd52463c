"""The queue's process for Ray, whose actors have toy models and sign what they begin: as `vqclip_nb.queue.on_ray`."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # its actors inherit them

from vqclip_nb.queue import on_ray  # noqa: E402


class ToyJobPainter(on_ray.JobPainter):
    """Paints with toy models, and leaves a file with the number of its process for each job that it takes."""

    def __init__(self):
        from tests.toys import toy_models

        super().__init__()
        self.toys = ExitStack()
        self.toys.enter_context(toy_models())
        film = lambda frames, path, *rest: path.write_bytes(b"film")  # noqa: E731
        self.toys.enter_context(mock.patch("vqclip_nb.video._encode", film))
        self.toys.enter_context(mock.patch("vqclip_nb.runs.metadata.model_hashes", return_value={}))

    def paint(self, job, runs, uploads):
        (Path(runs).parent / f"taken-{job.id}-{os.getpid()}").touch()
        return super().paint(job, runs, uploads)


if __name__ == "__main__":
    sys.exit(on_ray.main(painter=ToyJobPainter))
