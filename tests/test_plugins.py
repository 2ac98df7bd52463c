"""A package of somebody else's adds a canvas, a loss and a preset by entry points; no line of ours names them."""

import os
import subprocess
import sys
from pathlib import Path

import vqclip_nb

PROMPT = "a red circle on a blue background"
ROOT = Path(vqclip_nb.__file__).parent.parent

CANVAS = '''
from collections.abc import Sequence

import torch
from vqclip_nb.canvases.base import Canvas
from vqclip_nb.rng import generator


class TintCanvas(Canvas):
    """One colour for each picture."""

    lr = 0.05

    def __init__(self, *, size, seeds: Sequence[int], options):
        super().__init__()
        self.size, self.options = size, options
        drawn = [torch.rand(3, 1, 1, generator=generator(seed, 0, "tint")) for seed in seeds]
        self.tint = torch.nn.Parameter(torch.stack(drawn))

    @classmethod
    def open(cls, model, *, size, seeds, options):
        return cls(size=size, seeds=seeds, options=options)

    def forward(self):
        return (self.tint * self.options.gain).clamp(0, 1).expand(-1, -1, self.size[1], self.size[0])

    @torch.no_grad()
    def start_from(self, image):
        self.tint.copy_(image.mean((2, 3), keepdim=True) / self.options.gain)


CANVAS = TintCanvas
'''
SPEC = """
from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.schema import option


class TintOptions(CanvasOptions):
    gain: float = option(1.0, "Gain", "how bright the tint is", ge=0.1, le=2)


SPEC = CanvasSpec("tint", "one colour", "testing", 0.05, options=TintOptions)


class Bright:
    parts, precision = 1, None

    def __call__(self, image, draws, progress):
        return {"bright": 1 - image.mean((1, 2, 3))}


PRESET = {"title": "Dull", "help": "a dark tint", "settings": {"canvas": "tint", "gain": 0.25, "steps": 3}}
"""
ENTRY_POINTS = """
[vqclip_nb.canvases]
tint = tints
torn = tints.nothing

[vqclip_nb.objectives]
bright = tints:Bright

[vqclip_nb.presets]
dull = tints:PRESET
broken = tints:NOTHING
"""


def installed(folder):
    """The package as pip would lay it down, in a folder on the path."""
    (folder / "tints").mkdir()
    (folder / "tints" / "__init__.py").write_text(SPEC)
    (folder / "tints" / "canvas.py").write_text(CANVAS)
    record = folder / "tints-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: tints\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def run(folder, *words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-c", "import sys; from vqclip_nb.cli import main; sys.exit(main())", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_another_package_adds_a_canvas_a_loss_and_a_preset(tmp_path):
    folder = installed(tmp_path)
    assert "--gain" in run(folder, "paint", "--help").stdout
    assert "broken, dull" in " ".join(run(folder, "paint", "red", "--preset", "nope").stderr.split())
    refused = run(folder, "paint", "red", "--canvas", "tint", "--gain", "3")
    assert "gain must be from 0.1 to 2, got 3" in refused.stderr
    torn = run(folder, "paint", "red", "--canvas", "torn")
    assert "the canvas 'torn' of another package cannot be loaded" in torn.stderr
    assert (
        "the preset 'broken' of another package cannot be loaded"
        in run(folder, "paint", "red", "--preset", "broken").stderr
    )

    out = str(tmp_path / "runs")
    small = ("--size", "32", "32", "--cutn", "2", "--device", "cpu", "--quiet", "--out", out)
    painted = run(folder, "paint", PROMPT, "--preset", "dull", "--losses", "bright:2", *small)
    assert painted.returncode == 0, painted.stderr
    assert ",bright," in (Path(painted.stdout.strip()).parent / "losses.csv").read_text()
    shown = run(folder, "info", painted.stdout.strip()).stdout
    assert "--canvas tint --gain 0.25" in " ".join(shown.split())


def test_without_that_package_its_picture_says_which_canvas_is_missing(tmp_path):
    refused = run(tmp_path, "paint", "red", "--canvas", "tint")
    assert "canvas must be" in refused.stderr
    assert "got 'tint'" in refused.stderr
    assert refused.returncode == 2
