"""Imports go downward only, and each outside package has one door."""

import ast
from pathlib import Path

import pytest

import vqclip_nb

PACKAGE = Path(vqclip_nb.__file__).parent
LEVELS = {  # a module may import, at its top, only from levels below its own
    "errors": -1,
    "escapes": 0,
    "paths": 0,
    "prompts": 1,
    "schedules": 0,
    "schema": 1,
    "loss_names": 2,
    "plugins": 0,
    "perceptor_names": 0,
    "settings": 3,
    "fields": 4,
    "presets": 2,
    "embedded": 3,
    "gpu": 0,
    "rng": 0,
    "gradients": 0,
    "optimizers": 0,
    "device": 1,
    "models": 1,
    "images": 2,
    "cutouts": 2,
    "canvases": 2,
    "perceptors": 2,
    "objectives": 4,
    "timeline": 5,
    "step_guard": 5,
    "painting": 6,
    "video": 5,
    "oom": -1,
    "runs": 7,
    "session": 8,
    "sweeps": 9,
    "cli": 10,
    "studio": 10,
}
DOORS = {
    "taming": {"models"},
    "clip": {"models"},
    "open_clip": {"models"},
    "ipywidgets": {"studio"},
    "google": {"studio"},
    "imageio_ffmpeg": {"video"},
    "triton": {"gpu"},
    "pytorch_lightning": set(),
    "torchvision": set(),
    "pkg_resources": set(),
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def place(path):
    """The first name below the package: `canvases` for canvases/vqgan.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path, *, top_only):
    """The modules that a file imports, by their whole names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "vqclip_nb":
            yield from (f"vqclip_nb.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward(path):
    own = place(path)
    if own == "__init__":
        assert not [name for name in imported(path, top_only=True) if name.startswith("vqclip_nb.")]
        return
    assert own in LEVELS, f"{own} has no level: say in this test where it stands"
    for name in imported(path, top_only=True):
        _, _, below = name.partition("vqclip_nb.")
        first = below.partition(".")[0]
        if first in LEVELS and first != own:
            assert LEVELS[first] < LEVELS[own], f"{own} must not import {first}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_outside_packages_have_one_door(path):
    if path == PACKAGE / "cli" / "doctor.py":
        pytest.skip("the doctor tries every door")
    for name in imported(path, top_only=False):
        allowed = DOORS.get(name.partition(".")[0])
        assert allowed is None or place(path) in allowed, f"{place(path)} must not import {name}"


LONGER = {"gpu/triton_layers.py": 625}  # to be split, never to grow


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_short_enough_to_read_at_once(path):
    allowed = LONGER.get(path.relative_to(PACKAGE).as_posix(), 400)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= allowed
