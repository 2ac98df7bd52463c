"""Job requests: the settings that a person may ask for. No other setting is accepted, and no path or address."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

from vqclip_nb import perceptor_names
from vqclip_nb.errors import SettingsError
from vqclip_nb.images import HASHED
from vqclip_nb.queue.limits import Limits
from vqclip_nb.schedules import most
from vqclip_nb.schema import closest
from vqclip_nb.settings import Settings

TEXTS = ("prompt", "templates", "noise_prompts", "losses", "augments")
ALLOWED = (
    *TEXTS,
    *("canvas", "perceptor", "size", "seed", "variations", "steps", "lr", "optimizer", "average", "init_weight"),
    *("smoothness", "distance", "averaging_weight", "textoff", "cutouts", "cutn", "cut_pow"),
)
_DEFAULTS = Settings().to_dict()
PICTURE = "picture"  # the key for the name of an uploaded picture to begin with


def settings_from(job_request: Mapping[str, Any], limits: Limits) -> Settings:
    """The settings of a job request. Raises SettingsError, in one line, for anything that is not allowed."""
    for name in job_request:
        if name not in ALLOWED and name != PICTURE:
            hint = closest(name, ALLOWED) or f"; there are {', '.join((*ALLOWED, PICTURE))}"
            raise SettingsError(f"{name!r} cannot be asked for{hint}")
    if not isinstance(job_request.get("prompt"), str) or not job_request["prompt"].strip():
        raise SettingsError('prompt must say what to paint, such as "a castle, a watercolor"')
    for name in (*TEXTS, "lr", "init_weight", "smoothness", "cutn"):
        text = job_request.get(name)
        if isinstance(text, str) and len(text) > limits.longest_text:
            raise SettingsError(f"{name} may have {limits.longest_text} letters, got {len(text)}; shorten it")
    refuse_words(" ".join(str(job_request.get(name, "")) for name in ("prompt", "templates")), limits)
    values = {**defaults(limits), **job_request}
    _one_of("canvas", values["canvas"], limits.canvases)
    if not isinstance(values["perceptor"], str):
        raise SettingsError(f"perceptor must be a text, got {values['perceptor']!r}")
    try:
        names = perceptor_names.parse(values["perceptor"])
    except ValueError as error:
        raise SettingsError(str(error)) from None
    for name in names:
        _one_of("perceptor", name, _parts(limits.perceptors))
    picture = values.pop(PICTURE, None)
    if picture is not None and not (isinstance(picture, str) and HASHED.fullmatch(picture)):
        raise SettingsError(f"picture must be the name that the upload returned, got {str(picture)[:40]!r}")
    if isinstance(steps := values.get("steps"), int | float):
        check_number("steps", steps, limits.most_steps)  # first, because a formula is evaluated for each step
    settings = Settings(**values, init_image=picture)
    check_number("size", max(settings.size), limits.largest_side)
    check_number("steps", settings.steps, limits.most_steps)
    check_number("variations", settings.variations, limits.most_variations)
    check_number("cutn", most(settings.cutn, settings.steps), limits.most_cutouts)
    return settings


def defaults(limits: Limits) -> dict[str, Any]:
    """The defaults of a job request: those of all settings, reduced to the limits."""
    side, steps, cutn = (_DEFAULTS[name] for name in ("size", "steps", "cutn"))
    return {
        "canvas": limits.canvases[0],
        "perceptor": limits.perceptors[0],
        "size": [min(each, limits.largest_side) for each in side],
        "steps": min(steps, limits.most_steps),
        "cutn": min(cutn, limits.most_cutouts),
    }


def request_from(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The job request for these settings, without defaults. settings: as from `Settings.to_dict`."""
    job_request = {name: settings[name] for name in ALLOWED if settings[name] != _DEFAULTS[name] or name == "prompt"}
    return job_request | ({PICTURE: settings["init_image"]} if settings["init_image"] else {})


def check_number(name: str, number: float, limit: int) -> None:
    """Raise SettingsError if a number is above its limit."""
    if number > limit:
        raise SettingsError(f"{name} may be up to {limit} here, got {number:g}")


def refuse_words(text: str, limits: Limits) -> None:
    """Raise SettingsError if a text contains a refused word; case and accents do not matter."""
    words = f" {_plain(text)} "
    for word in limits.refused_words:
        if (plain := _plain(word)) and f" {plain} " in words:
            raise SettingsError(f"the word {word!r} is refused here; leave it out")


def _plain(text: str) -> str:
    """The words of a text, in lower case, without accents and punctuation."""
    letters = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join(re.findall(r"\w+", letters.casefold()))


@cache
def _parts(perceptors: tuple[str, ...]) -> tuple[str, ...]:
    """The single perceptors in these names, some of which combine several."""
    return tuple(part for known in perceptors for part in perceptor_names.parse(known))


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"{name} must be one of {', '.join(choices)} here, got {str(value)[:60]!r}")
