"""Victims: paintings that are killed. They run in a process of their own, forked from one that has imported all."""

import os
import signal
from unittest import mock

import torch

from tests.toys import toy_models
from vqclip_nb import Settings, video
from vqclip_nb.runs import background_writer
from vqclip_nb.session import start

STEPS, INTERVAL = 8, 2


def no_film():
    """Encoding takes longer than all the rest of a toy run."""
    return mock.patch.object(video, "_encode", lambda frames, path, *rest: path.write_bytes(b"film"))


FILM = {"frame_steps": 2, "first_steps": 2, "zoom": 1.1, "rotate": "5*s", "loop_frames": 1, "canvas": "pixels"}


def settings(out, film=False):
    """Of a small picture, or a small film."""
    values = {"prompt": "red | blue:-0.2", "size": (16, 16), "steps": STEPS, "cutn": 2, "device": "cpu"}
    values |= FILM if film else {}
    return Settings(**values, save_every=str(INTERVAL), average=0.5, variations=2, out=str(out))


def paint(out, reached, kill_at=None, only="", film=False):
    """Paint, counting the steps in `reached`; die at the n-th file written: half-way, before it is moved, or after.

    only: the ending of the files that are counted.
    """
    torch.set_num_threads(1)
    with toy_models(), no_film(), mock.patch.object(background_writer, "write", _deadly(kill_at, only)):
        active = start(settings(out, film))
        for frame in active:
            reached.value = frame.step
        active.record.finish(active.painting)


def _deadly(kill_at, only, write=background_writer.write):
    written = 0

    def deadly(path, data, **more):
        nonlocal written
        written += path.name.endswith(only)
        if not path.name.endswith(only):
            return write(path, data, **more)
        if written != kill_at:
            return write(path, data, **more)
        if kill_at % 3 == 2:
            write(path, data, **more)
        else:
            path.with_name(f".{path.name}.part").write_bytes(data[: len(data) // (2 - kill_at % 3)])
        os.kill(os.getpid(), signal.SIGKILL)

    return deadly
