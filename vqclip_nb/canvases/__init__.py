"""Canvases: what is painted on. Each folder here is one, and other packages can add theirs by entry points.

`<name>/__init__.py` holds `SPEC`, a CanvasSpec that needs no torch, and `<name>/canvas.py` holds `CANVAS`, the Canvas
class. No other module names a canvas. docs/adding-a-canvas.md shows how to write one.
"""

import pkgutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vqclip_nb import plugins
from vqclip_nb.canvases.spec import CanvasOptions, CanvasSpec
from vqclip_nb.errors import SettingsError
from vqclip_nb.schema import FieldSpec, closest

if TYPE_CHECKING:
    from vqclip_nb.canvases.base import Canvas

__all__ = [
    "Canvas",
    "CanvasOptions",
    "CanvasSpec",
    "canonical_name",
    "check",
    "make",
    "owners",
    "spec",
    "specs",
    "suiting",
]

GROUP = "vqclip_nb.canvases"
ELSEWHERE = {"fft": "fourier", "dwt": "wavelets", "fast_pixel": "pixels"}  # pixray's names


@cache
def modules() -> Mapping[str, str]:
    """The module of each canvas, by name. Canvases of this package take precedence over others of the same name."""
    folders = [each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)]) if each.ispkg]
    own = {name: f"{__name__}.{name}" for name in folders}
    others = {name: point.value for name, point in plugins.entry_points_of(GROUP).items()}
    return MappingProxyType(others | own)


@cache
def spec(name: str) -> CanvasSpec:
    """The spec of a canvas, by its name or as `name/model`. Raises SettingsError."""
    family = name.partition("/")[0]
    if family not in modules():
        choices = ", ".join(f"{each.name}/<model>" if each.model_kind else each.name for each in specs())
        near = f"; did you mean {ELSEWHERE[family]!r}?" if family in ELSEWHERE else closest(family, modules())
        raise SettingsError(f"canvas must be {choices}, got {name!r}{near}")
    try:
        return import_module(modules()[family]).SPEC
    except Exception as error:
        if family in plugins.entry_points_of(GROUP):
            raise SettingsError(f"the canvas {family!r} of another package cannot be loaded: {error}") from None
        raise


def check(name: str) -> None:
    """Raise ValueError when a canvas is unknown, lacks the model it needs, or has a model it does not take."""
    canvas_spec, model = spec(name), name.partition("/")[2]
    if canvas_spec.model_kind and not model:
        usual = f"{canvas_spec.name}/{canvas_spec.default_model}"
        such = f", such as `--canvas {usual}`" if canvas_spec.default_model else ""
        raise ValueError(f"canvas must be {canvas_spec.name}/<model>{such}, got {name!r}; `vqclip models` lists them")
    if model and not canvas_spec.model_kind:
        raise ValueError(f"canvas must be {canvas_spec.name}, which takes no model, got {name!r}")


def canonical_name(name: str) -> str:
    """A canvas's name with the case of its family corrected."""
    family, slash, model = name.partition("/")
    return f"{family.lower()}{slash}{model}" if family not in modules() and family.lower() in modules() else name


def specs() -> list[CanvasSpec]:
    """The specs of all canvases, by name. Canvases of other packages that cannot be loaded are skipped."""
    result = []
    for name in sorted(modules()):
        with suppress(SettingsError):  # `spec` raises it when that canvas is used
            result.append(spec(name))
    return result


def owners(option: str) -> list[FieldSpec]:
    """The field of each canvas that has an option of this name."""
    return [field for each in specs() for field in each.fields if field.name == option]


def suiting(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Settings by name, without options that the canvas `name` does not have. Raises SettingsError."""
    own = {field.name for field in spec(name).fields}
    return {option: value for option, value in values.items() if option in own or not owners(option)}


def make(
    name: str, *, size: tuple[int, int], seeds: Sequence[int], options: Mapping[str, Any] = MappingProxyType({})
) -> "Canvas":
    """The canvas `family` or `family/model` with one picture per seed, on the CPU.

    `size` is (width, height) in pixels; the canvas may round it down. Raises SettingsError, models.UnknownModel.
    """
    family, _, model = name.partition("/")
    canvas_spec = spec(name)
    kind = import_module(f"{modules()[family]}.canvas").CANVAS
    return kind.open(model, size=size, seeds=seeds, options=canvas_spec.options(**options))


def __getattr__(name: str) -> Any:
    if name == "Canvas":  # needs torch, which the specs do not
        return import_module(f"{__name__}.base").Canvas
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
