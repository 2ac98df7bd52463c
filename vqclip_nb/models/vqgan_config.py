"""A VQGAN's config: taming's YAML, checked field by field before anything is built."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vqclip_nb.models.errors import BrokenWeights
from vqclip_nb.models.local_files import REMEDIES, wrong_content

LARGEST_FILE = 20_000  # bytes; the published configs have less than two thousand
DEEPEST = 30  # tables in tables
MOST_VALUES = 5_000  # with aliases expanded
GROUPS = 32  # of taming's group norms; they must divide the numbers of channels


@dataclass(frozen=True)
class Whole:
    """A whole number in a range, divisible by `step`."""

    least: int
    most: int
    step: int = 1

    def holds(self, value: Any) -> bool:
        return type(value) is int and self.least <= value <= self.most and value % self.step == 0

    def __str__(self) -> str:
        divisor = f" that {self.step} divides" if self.step > 1 else ""
        return f"a whole number from {self.least} to {self.most:,}{divisor}"


@dataclass(frozen=True)
class Several:
    """A list of whole numbers."""

    each: Whole
    least: int
    most: int

    def holds(self, value: Any) -> bool:
        is_list = isinstance(value, list | tuple) and self.least <= len(value) <= self.most
        return is_list and all(self.each.holds(one) for one in value)

    def __str__(self) -> str:
        return f"a list of {self.least} to {self.most} numbers, each {self.each}"


@dataclass(frozen=True)
class Share:
    """A number from 0 to 1."""

    def holds(self, value: Any) -> bool:
        return type(value) in (int, float) and 0 <= value <= 1

    def __str__(self) -> str:
        return "a number from 0 to 1"


@dataclass(frozen=True)
class YesNo:
    def holds(self, value: Any) -> bool:
        return type(value) is bool

    def __str__(self) -> str:
        return "true or false"


Rule = Whole | Several | Share | YesNo
DDCONFIG: dict[str, Rule] = {
    "ch": Whole(GROUPS, 4096, GROUPS),
    "ch_mult": Several(Whole(1, 64), 1, 12),
    "num_res_blocks": Whole(1, 32),
    "attn_resolutions": Several(Whole(0, 65536), 0, 32),
    "resolution": Whole(1, 65536),
    "z_channels": Whole(1, 65536),
    "in_channels": Whole(1, 65536),
    "out_ch": Whole(1, 65536),
    "double_z": YesNo(),
    "dropout": Share(),
    "resamp_with_conv": YesNo(),
}
DEFAULTS = {"double_z": False, "dropout": 0.0, "resamp_with_conv": True}
PARAMS: dict[str, Rule] = {
    "embed_dim": Whole(1, 65536),
    "n_embed": Whole(1, 2**24),
    "patch_size": Whole(1, 64),
    "tidy_every": Whole(0, 100_000),
}


@dataclass(frozen=True)
class VQGANConfig:
    """The config of a VQGAN; `n_embed` None means the number of codes in the file.

    Two fields are additions to taming's format. `patch_size`: the network works on patches with this side in pixels,
    stacked as channels. `tidy_every`: the default number of steps between re-encodings of the picture; 0: never.
    """

    ddconfig: Mapping[str, Any]
    embed_dim: int
    n_embed: int | None = None
    patch_size: int = 1
    tidy_every: int = 0

    @classmethod
    def from_taming(cls, config: Mapping[str, Any]) -> VQGANConfig:
        """Read taming's `target`/`params` table (or the `model:` around it); losses and paths are ignored.

        Raises `ValueError` with the field, its value and what is allowed.
        """
        try:
            params = config.get("model", config).get("params", {})
            params = params.get("first_stage_config", {}).get("params", params)
            missing = [key for key in ("ddconfig", "embed_dim") if key not in {**params}]
        except (AttributeError, TypeError):
            message = f"config must be a taming VQGAN's, whose params are a table, got {reprlib.repr(config)}"
            raise ValueError(message) from None
        if missing:
            keys = reprlib.repr(sorted(map(str, params)))
            raise ValueError(f"config must be a taming VQGAN's, with params.{missing[0]}, got keys {keys}")
        if not isinstance(params["ddconfig"], Mapping):
            raise ValueError(f"config's ddconfig must be a table, got {reprlib.repr(params['ddconfig'])}")
        own = {name: params[name] for name in PARAMS if params.get(name) is not None or name == "embed_dim"}
        ddconfig = {**DEFAULTS, **{name: params["ddconfig"][name] for name in DDCONFIG if name in params["ddconfig"]}}
        _check(own, PARAMS, "")
        _check(ddconfig, DDCONFIG, "ddconfig.")
        if missing_names := [name for name in DDCONFIG if name not in ddconfig]:
            raise ValueError(f"config must have ddconfig.{missing_names[0]}, {DDCONFIG[missing_names[0]]}")
        channels = 3 * own.get("patch_size", 1) ** 2
        for name in ("in_channels", "out_ch"):
            if ddconfig[name] != channels:
                raise ValueError(f"config's ddconfig.{name} must be {channels}, as pictures have, got {ddconfig[name]}")
        return cls(ddconfig, **own)

    @classmethod
    def read(cls, path: Path) -> VQGANConfig:
        """Read a taming YAML file. Raises `ValueError` when it is not one."""
        return cls.from_taming(read_yaml(path))

    def to_taming(self) -> dict[str, Any]:
        """The used part of taming's table, in JSON types."""
        ddconfig = {key: list(value) if isinstance(value, tuple) else value for key, value in self.ddconfig.items()}
        own = {name: value for name in PARAMS if (value := getattr(self, name)) is not None}
        return {"target": "taming.models.vqgan.VQModel", "params": {**own, "ddconfig": ddconfig}}

    def check_against(self, state: Mapping[str, Tensor]) -> None:
        """Raise `BrokenWeights` when a field contradicts the keys and shapes of the weights, in taming's names.

        So no network larger than the file is built.
        """
        shapes = _shape(state)
        for name, value in shapes.items():
            own = self.embed_dim if name == "embed_dim" else self.ddconfig[name]
            own = list(own) if isinstance(own, tuple) else own
            if own != value:
                field = name if name == "embed_dim" else f"ddconfig.{name}"
                raise BrokenWeights(f"its config says {field} {reprlib.repr(own)} where the weights have {value}")


def _check(values: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str) -> None:
    for name, value in values.items():
        if not rules[name].holds(value):
            raise ValueError(f"config's {prefix}{name} must be {rules[name]}, got {reprlib.repr(value)}")


def _shape(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of a config that can be inferred from weights."""

    def channels(key: str, kernel: int) -> tuple[int, int]:
        if key not in state:
            raise BrokenWeights(f"tensors are missing from the file, first {key}")
        shape = tuple(state[key].shape)
        if len(shape) != 4 or shape[2:] != (kernel, kernel) or 0 in shape:
            raise BrokenWeights(f"{key} is {shape} in the file, where a {kernel} x {kernel} convolution's belongs")
        return shape[0], shape[1]

    def count(prefix: str) -> int:
        return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})

    ch, in_channels = channels("encoder.conv_in.weight", 3)
    out_ch, _ = channels("decoder.conv_out.weight", 3)
    levels = [channels(f"encoder.down.{level}.block.0.conv1.weight", 3) for level in range(count("encoder.down."))]
    for before, (_, width) in zip([ch, *(width for width, _ in levels)], levels, strict=False):
        if width != before:
            raise BrokenWeights(f"a level of its encoder takes {width} channels where {before} come")
    return {
        "ch": ch,
        "ch_mult": [width // ch for width, _ in levels],
        "num_res_blocks": count("encoder.down.0.block."),
        "z_channels": channels("decoder.conv_in.weight", 3)[1],
        "in_channels": in_channels,
        "out_ch": out_ch,
        "embed_dim": channels("post_quant_conv.weight", 1)[1],
    }


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a taming YAML file as a dict. Raises `ValueError` when it is not one, or too large with aliases expanded."""
    import yaml

    label = repr(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"config {label} cannot be read: {error.strerror}") from None
    if kind := wrong_content(data):
        raise ValueError(f"config {label} is {kind} in the place of the file; {REMEDIES[kind]}")
    if len(data) > LARGEST_FILE:
        raise ValueError(f"config {label} has more than {LARGEST_FILE:,} bytes; a VQGAN's has a few thousand")
    try:
        text = data.decode("utf-8")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"its tables are nested more than {DEEPEST} deep")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        count = 0 if node is None else _count(node, {})
        table = loader.construct_document(node) if 0 < count <= MOST_VALUES else None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, OverflowError, LookupError, AttributeError) as error:
        raise ValueError(f"config {label} cannot be read as YAML: {_problem(error)}") from None
    if count > MOST_VALUES:
        raise ValueError(f"config {label} has more than {MOST_VALUES:,} values; a VQGAN's has about thirty")
    if not isinstance(table, dict):
        got = "an empty file" if table is None else type(table).__name__
        raise ValueError(f"config {label} must be a YAML table, got {got}")
    return table


def _problem(error: Exception) -> str:
    """What is wrong with a YAML text, in one line, with the place where it is known."""
    if (problem := getattr(error, "problem", None)) and (place := getattr(error, "problem_mark", None)):
        return f"line {place.line + 1}: {problem}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _count(node: Any, counts: dict[int, int]) -> int:
    """The number of values of a YAML node, with aliases expanded."""
    if id(node) not in counts:
        counts[id(node)] = MOST_VALUES + 1  # until it is known: a node that contains itself is infinite
        inner = node.value if isinstance(node.value, list) else []
        parts = (part for one in inner for part in (one if isinstance(one, tuple) else (one,)))
        counts[id(node)] = 1 + sum(_count(part, counts) for part in parts)
    return counts[id(node)]
