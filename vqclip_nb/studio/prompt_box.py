"""The prompt box: the prompt, the negative prompt, and chips and menus with suggestions."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import ipywidgets as widgets

from vqclip_nb import prompts
from vqclip_nb.errors import SettingsError
from vqclip_nb.schedules import Number, Schedule
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.widget_help import explain
from vqclip_nb.suggestions import has, surprise, toggle, vocabulary, words


class PromptBox:
    """Two text boxes for one setting: `value` is the prompt for Settings. `box` is the widget.

    changed: called when a person changed the prompt.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed, self._quiet, self._kind = changed, False, ""
        self.text = widgets.Textarea(
            rows=2, description="Prompt", placeholder="a castle by the sea, an oil painting", continuous_update=False
        )
        self.negative = widgets.Text(
            description="Avoid", placeholder="what should not be there: fog | text", continuous_update=False
        )
        self.text.add_class("vq-prompt")
        self.negative.add_class("vq-negative")
        explain(self.text, "What to paint; “a castle:1.5 | watercolor” gives weights. Ctrl+Enter starts or applies")
        explain(self.negative, "What to push away: each text, between pipes, is written with the weight -1")
        for field in (self.text, self.negative):
            field.observe(lambda _: self._hear(), "value")
        self.chips = widgets.HBox([])
        self.chips.add_class("vq-chips")
        self.surprise = widgets.Button(description="Surprise me", tooltip="Write a random prompt", icon="magic")
        self.surprise.on_click(lambda _: self._surprise())
        self.examples = widgets.Dropdown(options=[("Examples …", "")], description="Examples")
        self.examples.add_class("vq-unlabelled")
        explain(self.examples, "A prompt to begin with")
        self.examples.observe(lambda _: self._example(), "value")
        self.book = widgets.Dropdown(options=[("Words …", "")], description="Words")
        self.book.add_class("vq-unlabelled")
        explain(self.book, "Words of the field, by kind; the same again takes them out")
        self.book.observe(lambda _: self._word(), "value")
        self.used = widgets.Combobox(description="Used prompts", placeholder="Used prompts")
        for name in ("vq-used", "vq-unlabelled"):
            self.used.add_class(name)
        explain(self.used, "Type a few letters of a prompt that was painted here")
        self.used.observe(lambda _: self._used(), "value")
        self.box = widgets.VBox([self.text, self.negative])
        self.box.add_class("vq-words")

    @property
    def value(self) -> str:
        """The whole prompt: the text, and each negative text with its weight."""
        return combine(self.text.value, self.negative.value)

    @value.setter
    def value(self, prompt: str) -> None:
        if prompt != self.value:
            self._quiet = True
            self.text.value, self.negative.value = split(prompt)
            self._quiet = False
        self.draw()

    @property
    def disabled(self) -> bool:
        """Whether the box is disabled."""
        return bool(self.text.disabled)

    @disabled.setter
    def disabled(self, disabled: bool) -> None:
        self.text.disabled = self.negative.disabled = disabled

    def suit(self, perceptor: str) -> None:
        """Suggest words that a perceptor knows."""
        kind = vocabulary(perceptor)
        if kind != self._kind:
            self._kind = kind
            self.chips.children = [self._chip(name) for name in words()["chips"][kind]]
            keep_heard(self.chips)
            groups = words()["examples"][kind].items()
            options = [(f"{group}: {text}", text) for group, texts in groups for text in texts]
            self.examples.options = [("Examples …", ""), *options]
            book = words()["book"][kind].items()
            self.book.options = [("Words …", ""), *((f"{group}: {word}", word) for group, all in book for word in all)]
        self.draw()

    def draw(self) -> None:
        """Highlight the chips whose words are in the prompt."""
        for chip in self.chips.children:
            lit = has(self.text.value, chip.description)
            (chip.add_class if lit else chip.remove_class)("vq-on")
            chip.tooltip = f"{'Remove' if lit else 'Add'}: {chip.description}"

    def _hear(self) -> None:
        if not self._quiet:
            self.draw()
            self._changed()

    def _chip(self, name: str) -> widgets.Button:
        chip = widgets.Button(description=name, tooltip=f"Add: {name}")
        chip.add_class("vq-chip")
        chip.on_click(partial(self._toggle, name))
        return chip

    def _toggle(self, name: str, _: object) -> None:
        self.text.value = toggle(self.text.value, name)

    def _surprise(self) -> None:
        self.text.value = surprise(words()["surprise"][self._kind], random.Random())

    def _word(self) -> None:
        if word := self.book.value:
            self.book.value = ""
            self.text.value = toggle(self.text.value, word)

    def _used(self) -> None:
        if (prompt := self.used.value) in self.used.options:
            self.used.value = ""
            self.value = prompt
            self._changed()

    def _example(self) -> None:
        if self.examples.value:
            self.text.value = self.examples.value
            self.examples.value = ""


def combine(text: str, negative: str) -> str:
    """Join a text, and negative texts separated by pipes, to one prompt."""
    text, negative = " ".join(text.split()), " ".join(negative.split())
    try:
        parts = prompts.parse(negative)
    except SettingsError:  # for example an open quote; the whole prompt is then refused for it
        return f"{text} | {negative}" if text else negative
    pushes = [str(replace(part, weight=_below_zero(part.weight))) for part in parts]
    return " | ".join([*([text] if text else []), *pushes])


def _below_zero(weight: Number) -> Number:
    return weight.below_zero() if isinstance(weight, Schedule) else -abs(weight)


def split(prompt: str) -> tuple[str, str]:
    """Split a prompt into its text and the negative texts at its end, so that `combine` restores it.

    If that is not possible, the whole prompt is text.
    """
    pieces = [piece.strip() for piece in prompt.split("|")]
    count = 0
    while count < len(pieces) - 1 and pieces[-1 - count].endswith(":-1"):
        count += 1
    text = " | ".join(pieces[: len(pieces) - count])
    negative = " | ".join(piece.removesuffix(":-1") for piece in pieces[len(pieces) - count :])
    try:
        same = prompts.parse(combine(text, negative)) == prompts.parse(prompt)
    except SettingsError:
        same = False
    return (text, negative) if count and same else (prompt, "")
