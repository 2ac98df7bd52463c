"""Translation: options of other tools as settings here, and the options that could not be converted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vqclip_nb import canvases, presets
from vqclip_nb.compat import notebook
from vqclip_nb.compat.importing.converters import CONVERTERS, LostOptions
from vqclip_nb.compat.importing.documents import MOST_TEXT
from vqclip_nb.compat.importing.imported import Imported
from vqclip_nb.compat.other_tools import Peer, peers
from vqclip_nb.errors import SettingsError
from vqclip_nb.settings import Settings

MOST_OPTIONS = 1000
LEAST = 3  # options of a tool that a file must have to be recognized
_EMPTY: tuple[Any, ...] = (None, "", False, 0, "0", "0:(0)", "None", [], {}, ())


def translate(values: Mapping[str, Any], path: Path) -> Imported:
    """Translate the options of a tool, which is recognized by their names. Raises SettingsError if none is."""
    values = _flat(values)
    if len(values) > MOST_OPTIONS:
        raise SettingsError(f"{str(path)!r} has {len(values):,} options, and no tool has more than {MOST_OPTIONS:,}")
    ours = {option.name for option in notebook.TOOL.options}
    if {"texts", "max_iterations"} <= values.keys():
        own = {name: value for name, value in values.items() if name in ours}
        return _of_notebook(own, [name for name in values if name not in ours])
    peer = max(peers().values(), key=lambda each: _known(each, values))
    if _known(peer, values) < min(LEAST, len(values)) or not values:
        tools = ", ".join(each.title for each in peers().values())
        raise SettingsError(f"{str(path)!r} holds settings of none of these tools: {tools}, or the notebook of 2021")
    return translate_options(peer.name, values)


def translate_options(name: str, values: Mapping[str, Any], lost: Sequence[str] = ()) -> Imported:
    """Translate the options of this tool, by name. Raises SettingsError without a prompt among them."""
    peer, missed = peers()[name], LostOptions(list(lost))
    for option in [option for option, value in values.items() if len(repr(value)) > MOST_TEXT]:
        missed.add(option, f"it has more than {MOST_TEXT:,} letters, more than a setting may have")
    values = {option: value for option, value in values.items() if len(repr(value)) <= MOST_TEXT}
    try:
        special, names = CONVERTERS[name](values, missed)
    except SettingsError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise SettingsError(f"the settings of {peer.title} hold a value of the wrong type: {error}") from None
    preset = special.pop("preset", peer.preset)
    base = {**presets.load(preset).settings, "prompt": special.pop("prompt", ""), "seed": -1}
    base |= {"image_prompts": special.pop("image_prompts")} if "image_prompts" in special else {}
    if not (base["prompt"] or base.get("image_prompts")):
        raise SettingsError(f"the settings of {peer.title} have no prompt, so that there is nothing to paint")
    Settings(**base)
    for setting, value in special.items():
        _take(base, setting, value, setting, missed)
    for option, value in values.items():
        if option in names or (_is_empty(value) and not _is_zero(peer, option, value)):
            continue
        if option in peer.direct:
            _take(base, peer.direct[option], value, option, missed)
        else:
            _explain(peer, option, missed)
    return Imported(peer.title, Settings(**base), preset, missed.sentences())


def _take(base: dict[str, Any], setting: str, value: Any, option: str, missed: LostOptions) -> None:
    """Add a setting to `base`, or add the reason to `missed`. A new canvas removes the options of the old one."""
    try:
        remaining = canvases.suiting(base, str(value)) if setting == "canvas" else base
        Settings(**{**remaining, setting: value})
    except SettingsError as error:
        missed.add(option, str(error))
        return
    for name in base.keys() - remaining.keys():
        del base[name]
    base[setting] = value


def _of_notebook(values: Mapping[str, Any], others: Sequence[str]) -> Imported:
    plan = notebook.plan(values)
    notes = (f"{', '.join(others)}: not fields of the notebook",) if others else ()
    return Imported(notebook.TOOL.title, plan.settings, plan.preset, (*plan.notes, *notes))


def _explain(peer: Peer, option: str, missed: LostOptions) -> None:
    row = peer.row(option)
    if row is None:
        missed.add(option, f"{peer.title} has no such option, as far as is known here")
    elif row.fate != "moot":
        missed.add(option, row.answer)


def _known(peer: Peer, values: Mapping[str, Any]) -> int:
    return sum(peer.row(name) is not None for name in values)


def _is_empty(value: Any) -> bool:
    return any(value is empty or (type(value) is type(empty) and value == empty) for empty in _EMPTY)


def _is_zero(peer: Peer, option: str, value: Any) -> bool:
    """Whether 0 is a real value here: a seed or a weight. rkhamilton's seed 0 means a random seed."""
    is_random = peer.name == "rkhamilton" and option == "seed"
    return option in peer.direct and str(value) in ("0", "0.0") and not is_random


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with those of a nested mapping (pytti's `conf`, a notebook's `args`) merged into the top level."""
    inner = next((values[name] for name in ("conf", "args", "settings") if isinstance(values.get(name), dict)), None)
    return dict(values) if inner is None else {**values, **{str(name): value for name, value in inner.items()}}
