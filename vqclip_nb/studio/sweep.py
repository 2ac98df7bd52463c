"""A sweep in a notebook: the same as `vqclip_nb.sweeps.sweep`, with a grid of thumbnails that fills while it paints."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ipywidgets as widgets

from vqclip_nb.studio import markup
from vqclip_nb.studio.image_inputs import thumbnail
from vqclip_nb.studio.series import Board
from vqclip_nb.studio.several_view import SeveralView
from vqclip_nb.sweeps import Item, Result

SIDE = 620  # pixels of the picture that was clicked


def sweep(
    items: Sequence[Item], out: str | Path = "sweep", *, stop: Callable[[], bool] = lambda: False
) -> Iterator[Result]:
    """Paint the items, show a grid of them below the cell, and yield what became of each.

    A click on a thumbnail enlarges it, once the cell has ended. Raises as `vqclip_nb.sweeps.sweep` does.
    """
    from IPython.display import display

    from vqclip_nb.sweeps import sweep as painted

    board = Board(items, Path(out), f"A sweep of {len(items)} pictures")
    places = {item.name: place for place, item in enumerate(items)}
    large = widgets.Image(format="jpeg", layout={"display": "none"})

    def enlarge(place: int) -> None:
        if (picture := board.folder(place) / "result.png").is_file():
            large.value, large.layout.display = thumbnail(picture, SIDE), ""

    view = SeveralView(enlarge)
    shown = widgets.VBox([view.results, large, widgets.HTML(markup.style())])
    shown.add_class("vq-studio")
    view.show(board)
    display(shown)
    try:
        for result in painted(items, out, stop=stop):
            place = places[result.item.name]
            board.states[place] = result.state
            if result.error:
                board.errors[place] = result.error
            view.show(board)
            yield result
    finally:
        board.ended = True
        view.show(board)
