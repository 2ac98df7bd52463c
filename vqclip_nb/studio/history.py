"""Earlier: the gallery of runs on the disk, and the one that was cut off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from vqclip_nb.errors import PictureError
from vqclip_nb.runs.reader import RunInfo, frames, read_all
from vqclip_nb.studio import markup
from vqclip_nb.studio.image_inputs import thumbnail

MOST = 12


class History:
    """The newest runs as cards. `box` is the whole of it; the callbacks get the run's Story."""

    def __init__(self, take: Callable[[RunInfo], object], go_on: Callable[[RunInfo], object]) -> None:
        self._take, self._go_on = take, go_on
        self.cards = widgets.HBox([])
        self.cards.add_class("vq-cards")
        self.said = widgets.HTML()
        self.box = widgets.VBox([self.said, self.cards])

    def read(self, out: Path, *others: Path) -> list[RunInfo]:
        """Read the runs anew, with those that are only in the `others`, show the newest; returns all, newest first."""
        found: dict[str, RunInfo] = {}
        wrong: list[str] = []
        for place in (*others, out):
            stories, troubles = read_all(place)
            found |= {story.folder.name: story for story in stories}
            wrong += troubles
        stories = sorted(found.values(), key=lambda story: (story.begun, story.folder.name), reverse=True)
        old, self.cards.children = self.cards.children, [self._card(story) for story in stories[:MOST]]
        for card in old:
            for child in (*card.children, card):
                child.close()
        more = f"; the newest {MOST} of {len(stories)}" if len(stories) > MOST else ""
        count = f"{len(stories)} run{'s' if len(stories) > 1 else ''}" if stories else "No runs yet"
        told = f"{count} in {markup.near(out)}{more}"
        self.said.value = markup.small(told) + markup.notes(wrong[:3])
        return stories

    def _card(self, story: RunInfo) -> Any:
        prompt = story.current.prompt
        use = widgets.Button(
            description="Use settings", tooltip=f"Put the settings of this run into the form: {prompt}"
        )
        use.on_click(lambda _: self._take(story))
        buttons = [use]
        if steps_left(story):
            go_on = widgets.Button(description="Continue", tooltip=f"Go on where this run stood: {prompt}")
            go_on.on_click(lambda _: self._go_on(story))
            buttons.append(go_on)
        shown = prompt if len(prompt) <= 60 else prompt[:59] + "…"
        card = widgets.VBox([*_thumb(story), widgets.HTML(markup.small(shown)), *buttons])
        card.add_class("vq-card")
        return card


def steps_left(story: RunInfo) -> int:
    """The steps that a run did not make any more; nought for one that ended, or that kept no state."""
    return max(story.current.steps - story.kept[-1], 0) if story.kept else 0


def cut_off(stories: list[RunInfo]) -> RunInfo | None:
    """The newest run, if it was cut off before its end: it has steps left, and nobody ended it."""
    newest = stories[0] if stories else None
    if newest is None or not steps_left(newest):
        return None
    result = newest.folder / "result.png"
    state = newest.folder / "state" / f"{newest.kept[-1]:06}.safetensors"
    ended = result.exists() and result.stat().st_mtime >= state.stat().st_mtime  # a run that ends saves its state first
    return None if ended else newest


def _thumb(story: RunInfo) -> list[Any]:
    pictures = [path for path in (story.folder / "result.png", *frames(story.folder)[-1:]) if path.exists()]
    try:
        return [widgets.Image(value=thumbnail(pictures[0], 150), format="jpeg", layout={"width": "150px"})]
    except (PictureError, IndexError):
        return []
