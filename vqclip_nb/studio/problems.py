"""Problems: errors and warnings in the words of the panel."""

import re
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vqclip_nb import oom
from vqclip_nb.errors import NotANumber, OutOfMemory, PaintWarning, PictureError, RunError, SettingsError
from vqclip_nb.fields import fields
from vqclip_nb.images import first_line
from vqclip_nb.schedules import scale
from vqclip_nb.studio.registry import REGISTRY
from vqclip_nb.studio.status import Problem

if TYPE_CHECKING:
    from vqclip_nb.settings import Settings


def explain(error: BaseException, settings: "Settings | None" = None) -> Problem:
    """An error as a sentence, with settings that may help if there are any."""
    from vqclip_nb.models import BrokenWeights, CannotFetch, UnknownModel

    details = "".join(traceback.format_exception(error))
    remedy: dict[str, Any] = {}
    if isinstance(error, OutOfMemory) or oom.ran_out(error):
        return Problem(_too_large(error, settings), details, _smaller(settings), title="Memory ran out")
    if isinstance(error, NotANumber):
        remedy = {"lr": scale(settings.lr or 0.1, 0.5)} if settings else {}
        return Problem(in_titles(f"The painting ran away: {error}. The picture before it is kept."), details, remedy)
    expected = (SettingsError, PictureError, RunError, CannotFetch, BrokenWeights, UnknownModel)
    if isinstance(error, expected):
        return Problem(in_titles(str(error)), details, begun=False)
    return Problem(f"This should not have happened: {first_line(error)}", details)


def _too_large(error: BaseException, settings: "Settings | None") -> str:
    """The sentence for an error of memory. The allocators' own words, which name bytes, are left out."""
    if isinstance(error, OutOfMemory):
        return in_titles(str(error))
    pixels = "{} x {} pixels".format(*settings.size) if settings else "this picture"
    return f"The memory is not enough for {pixels}: paint smaller, or fewer at once"


def _smaller(settings: "Settings | None") -> dict[str, Any]:
    return {"size": tuple(max(16, side * 3 // 4 // 16 * 16) for side in settings.size)} if settings else {}


def in_titles(text: str) -> str:
    """A message for the command line, with flags and field names replaced by the titles in the form."""
    titles = {field.name: field.title for field in fields()}
    text = re.sub(r"as with --tidy 0", "as with “Tidy every” at 0", text)
    text = re.sub(r"--size (\d+) (\d+)", r"\1 x \2", text)
    text = text.replace("add --prompt-masks FILE", "draw it in the tab Where")
    text = text.replace("add --init-image FILE", "add a start image")
    remedy = r"`vqclip models` lists them, and --perceptor (\S+) --canvas (\S+) paint with one"
    text = re.sub(remedy, r"choose Perceptor \1 and Canvas \2", text)
    text = re.sub(r"--[a-z-]+", lambda flag: titles.get(flag[0][2:].replace("-", "_"), flag[0]), text)
    text = re.sub(r"^([a-z_]+)(?= (?:must|cannot|has)\b|: )", lambda name: titles.get(name[0], name[0]), text)
    return text[0].upper() + text[1:] if re.match("[a-z]+ ", text) else text  # not the name of a file


class listening:
    """Context manager that passes this thread's PaintWarnings to `listener`. Other warnings are not changed."""

    def __init__(self, listener: Callable[[str], None]) -> None:
        self.listener, self.thread = listener, threading.get_ident()

    def __enter__(self) -> None:
        REGISTRY.listeners[self.thread] = self.listener
        warnings.simplefilter("always", PaintWarning)  # or a warning of the last run would not be repeated
        if not getattr(warnings.showwarning, "vqclip", False):
            warnings.showwarning = _divert(warnings.showwarning)

    def __exit__(self, *error: object) -> None:
        REGISTRY.listeners.pop(self.thread, None)


def _divert(show: Callable[..., Any]) -> Callable[..., Any]:
    def diverted(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        listener = REGISTRY.listeners.get(threading.get_ident())
        if listener and issubclass(category, PaintWarning):
            listener(str(message))
        else:
            show(message, category, *rest, **more)

    diverted.vqclip = True  # type: ignore[attr-defined]
    return diverted
