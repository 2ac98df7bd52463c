"""Imports go downward without circles, each outside package is used in one place, and files and functions are short."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vqclip_nb

PACKAGE = Path(vqclip_nb.__file__).parent
LAYERS = [  # from the bottom up; a module imports only from layers below its own, or from its own package
    ["errors", "oom", "expressions", "freed_memory"],
    [
        "augments",
        "choices",
        "colours",
        "escapes",
        "extra_prompts",
        "paths",
        "safe_files",
        "plugins",
        "rng",
        "stop",
        "gradients",
        "optimizers",
        "schedules",
        "perceptor_names",
        "regions",
        "spans",
        "suggestions",
        "gpu",
    ],
    ["schema", "device", "prompts", "documents", "symmetry"],
    ["drawn_things"],
    ["loss_names", "presets", "models", "images", "cutouts"],
    ["canvases", "perceptors"],
    ["relay", "film_fields", "cutout_fields", "layout_fields", "palettes", "optical_flow"],
    ["settings"],
    ["fields", "embedded", "prompt_writer", "moves"],
    ["objectives", "timeline", "lowest_loss"],
    ["step_guard", "video", "video_reader", "overlay", "frame", "averages"],
    ["camera"],
    ["film_frames", "handover"],
    ["painting"],
    ["runs"],
    ["session"],
    ["sweeps", "compat", "animation", "interpolation"],
    ["queue"],
    ["cli", "studio"],
]
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
USERS = {  # the only modules that may import an outside package
    "taming": {"models"},
    "clip": {"models"},
    "open_clip": {"models"},
    "ray": {"sweeps", "queue"},
    "transformers": {"models"},
    "huggingface_hub": {"models"},
    "ipywidgets": {"studio"},
    "google": {"studio"},
    "imageio_ffmpeg": {"video", "video_reader"},
    "triton": {"gpu"},
    "ptwt": {"canvases"},
    "cv2": {"optical_flow"},
    "pywt": {"canvases"},
    "fastapi": {"queue"},
    "uvicorn": {"queue"},
    "discord": {"queue"},
    "pytorch_lightning": set(),
    "torchvision": set(),
    "pkg_resources": set(),
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def module_name(path):
    """`canvases.vqgan.canvas` for canvases/vqgan/canvas.py, `canvases` for canvases/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def first(name):
    return name.partition(".")[0]


MODULES = {module_name(path): path for path in FILES}
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


class Imports(ast.NodeVisitor):
    """The modules that a file imports, by whole names, inside functions too; those for type checkers are skipped."""

    def __init__(self, path):
        self.found = set()
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_If(self, node):
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)
        for other in node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else ():
            self.visit(other)

    def visit_Import(self, node):
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node):
        assert node.level == 0, f"line {node.lineno}: write the whole name of the module"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            is_module = whole.removeprefix("vqclip_nb.") in MODULES
            self.found.add(whole if is_module else node.module)


def own_imports(path):
    """The names below the package that a file imports. `from vqclip_nb import Settings` counts as its module."""
    homes = {f"vqclip_nb.{name}": home for name, home in vqclip_nb._HOMES.items()}
    for name in Imports(path).found:
        name = homes.get(name, name)
        if name.startswith("vqclip_nb."):
            yield name.removeprefix("vqclip_nb.")


def test_every_module_has_a_layer():
    assert {first(name) for name in MODULES if name} <= set(LEVELS), "say in LAYERS where the new module stands"


@every_file
def test_imports_go_downward(path):
    own = first(module_name(path))
    for name in own_imports(path):
        assert own, "importing the package imports none of its modules"
        if first(name) != own:
            assert LEVELS[first(name)] < LEVELS[own], f"{own} must not import {name}"


def test_no_module_is_in_a_circle():
    graph = {name: {found for found in own_imports(path) if found != name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports go round: " + " -> ".join(error.args[1]))


@every_file
def test_outside_packages_are_used_in_one_place(path):
    if path == PACKAGE / "cli" / "doctor.py":
        pytest.skip("the doctor tries every package")
    for name in Imports(path).found:
        allowed = USERS.get(first(name))
        assert allowed is None or first(module_name(path)) in allowed, f"{module_name(path)} must not import {name}"


@every_file
def test_a_file_and_its_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines"
