"""Wishes: what a person may ask for, as settings. Only what stands here is taken from outside; no path, no address."""

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
PICTURE = "picture"  # the name under which a picture that was sent is begun with


def settings_of(wish: Mapping[str, Any], limits: Limits) -> Settings:
    """The settings of a wish. Raises SettingsError, in one line, for anything that is not allowed."""
    for name in wish:
        if name not in ALLOWED and name != PICTURE:
            hint = closest(name, ALLOWED) or f"; there are {', '.join((*ALLOWED, PICTURE))}"
            raise SettingsError(f"{name!r} cannot be asked for{hint}")
    if not isinstance(wish.get("prompt"), str) or not wish["prompt"].strip():
        raise SettingsError('prompt must say what to paint, such as "a castle, a watercolor"')
    for name in (*TEXTS, "lr", "init_weight", "smoothness", "cutn"):
        text = wish.get(name)
        if isinstance(text, str) and len(text) > limits.longest_text:
            raise SettingsError(f"{name} may have {limits.longest_text} letters, got {len(text)}; shorten it")
    refuse_words(" ".join(str(wish.get(name, "")) for name in ("prompt", "templates")), limits)
    values = {**defaults(limits), **wish}
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
        raise SettingsError(f"picture must be the name that was given when it was sent, got {str(picture)[:40]!r}")
    if isinstance(steps := values.get("steps"), int | float):
        check_number("steps", steps, limits.most_steps)  # first, since a formula is worked out for each step
    settings = Settings(**values, init_image=picture)
    check_number("size", max(settings.size), limits.largest_side)
    check_number("steps", settings.steps, limits.most_steps)
    check_number("variations", settings.variations, limits.most_variations)
    check_number("cutn", most(settings.cutn, settings.steps), limits.most_cutouts)
    return settings


def defaults(limits: Limits) -> dict[str, Any]:
    """What counts where a wish does not say: within the limits, which the defaults of all settings may exceed."""
    side, steps, cutn = (_DEFAULTS[name] for name in ("size", "steps", "cutn"))
    return {
        "canvas": limits.canvases[0],
        "perceptor": limits.perceptors[0],
        "size": [min(each, limits.largest_side) for each in side],
        "steps": min(steps, limits.most_steps),
        "cutn": min(cutn, limits.most_cutouts),
    }


def wish_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The wish that asks for these settings, as `Settings.to_dict` gives them, without what is the default."""
    wish = {name: settings[name] for name in ALLOWED if settings[name] != _DEFAULTS[name] or name == "prompt"}
    return wish | ({PICTURE: settings["init_image"]} if settings["init_image"] else {})


def check_number(name: str, number: float, limit: int) -> None:
    """Raise SettingsError where a number is above its limit."""
    if number > limit:
        raise SettingsError(f"{name} may be up to {limit} here, got {number:g}")


def refuse_words(text: str, limits: Limits) -> None:
    """Raise SettingsError where a text holds a word that is refused, in whatever case or accents."""
    spoken = f" {_plain(text)} "
    for word in limits.refused_words:
        if (plain := _plain(word)) and f" {plain} " in spoken:
            raise SettingsError(f"the word {word!r} is refused here; leave it out")


def _plain(text: str) -> str:
    """A text as its words alone, in small letters without accents."""
    letters = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join(re.findall(r"\w+", letters.casefold()))


@cache
def _parts(perceptors: tuple[str, ...]) -> tuple[str, ...]:
    """The single perceptors of which these are made."""
    return tuple(part for known in perceptors for part in perceptor_names.parse(known))


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"{name} must be one of {', '.join(choices)} here, got {str(value)[:60]!r}")
