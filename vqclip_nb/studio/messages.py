"""The message strip of the panel, of fixed height: errors, offers, notes and other messages."""

from collections.abc import Callable, Iterable

import ipywidgets as widgets

from vqclip_nb.studio import markup
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.status import Problem
from vqclip_nb.studio.text import setting_text, title


class Messages:
    """The strip. `box` is the widget. It shows the first message; a click opens the others over the page.

    on_remedy: called when a person accepts a problem's remedy. on_error: called with the exception of an offer.
    """

    def __init__(self, on_remedy: Callable[[], object], on_error: Callable[[Exception], object]) -> None:
        self.problem: Problem | None = None
        self.field_errors: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()
        self.run_notes: tuple[str, ...] = ()
        self.good = ""
        self._dismissed: set[str] = set()
        self._offer: tuple[str, Callable[[], object]] | None = None
        self._on_error = on_error
        self.text = widgets.HTML()
        self.text.add_class("vq-message")
        self.remedy = widgets.Button(tooltip="Change these settings and start", button_style="warning")
        self.accept = widgets.Button(tooltip="Accept this offer", button_style="success")
        self.decline = widgets.Button(description="Not now", tooltip="Hide this offer")
        self.dismiss = widgets.Button(description="×", tooltip="Dismiss this message")
        self.remedy.on_click(lambda _: on_remedy())
        self.accept.on_click(lambda _: self._answer(accepted=True))
        self.decline.on_click(lambda _: self._answer(accepted=False))
        self.dismiss.on_click(lambda _: self.clear(for_good=True))
        self.dismiss.add_class("vq-dismiss")
        self.box = widgets.HBox([self.text, self.remedy, self.accept, self.decline, self.dismiss])
        self.box.add_class("vq-strip")
        keep_heard(self.box)
        self.draw()

    def clear(self, *, for_good: bool = False) -> None:
        """Remove all messages except the notes of the run, and with `for_good` those too."""
        if for_good:
            self._dismissed |= set(self.run_notes)
        self.problem, self.notes, self.good, self._offer = None, (), "", None
        self.draw()

    def note(self, text: str) -> None:
        """Add a note."""
        self.notes = (*(note for note in self.notes if note != text), text)[-5:]
        self.draw()

    def say(self, text: str) -> None:
        """Show a message that is not a problem; an empty text removes it."""
        self.good = text
        self.draw()

    def show_problem(self, problem: Problem | None) -> None:
        """Show a problem; None removes it."""
        self.problem = problem
        self.draw()

    def show_run_notes(self, notes: Iterable[str]) -> None:
        """Show the notes of the running run."""
        self.run_notes = tuple(notes)
        self._dismissed &= set(self.run_notes)
        self.draw()

    def field_error(self, name: str, text: str | None) -> None:
        """Show the error of a field; None removes it."""
        if self.field_errors.get(name) != text:
            self.field_errors.pop(name, None)
            if text:
                self.field_errors[name] = text
            self.draw()

    def offer(self, text: str, yes: str, act: Callable[[], object]) -> None:
        """Show an offer. yes: the text of the button that calls `act`."""
        self._offer, self.accept.description = (text, act), yes
        self.draw()

    @property
    def offered(self) -> str:
        """The text of the current offer, or an empty string."""
        return self._offer[0] if self._offer else ""

    def draw(self) -> None:
        """Update the strip."""
        entries = [("trouble", text, "") for text in self.field_errors.values()]
        if self.problem and self.problem.message not in self.field_errors.values():
            entries.insert(0, ("trouble", self.problem.message, self.problem.details))
        entries += [("offer", self._offer[0], "")] if self._offer else []
        run_notes = [note for note in reversed(self.run_notes) if note not in self._dismissed]  # the newest first
        notes = dict.fromkeys((*self.notes, *run_notes))
        entries += [("note", note, "") for note in notes]
        entries += [("good", self.good, "")] if self.good else []
        self.text.value = markup.messages(entries)
        remedy = dict(self.problem.remedy or {}) if self.problem else {}
        self.remedy.description = "Paint with " + ", ".join(
            f"{title(name)} {setting_text(value)}" for name, value in remedy.items()
        )
        _show(self.remedy, bool(remedy))
        for button in (self.accept, self.decline):
            _show(button, self._offer is not None)
        _show(self.dismiss, bool(entries) and self._offer is None and len(entries) > len(self.field_errors))

    def _answer(self, *, accepted: bool) -> None:
        offer, self._offer = self._offer, None
        self.draw()
        if accepted and offer:
            try:
                offer[1]()
            except Exception as error:
                self._on_error(error)


def _show(widget: widgets.Widget, shown: bool) -> None:
    widget.layout.display = "" if shown else "none"
