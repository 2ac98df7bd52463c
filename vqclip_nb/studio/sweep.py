"""A sweep in a notebook: as `vqclip_nb.sweeps.sweep`, with a grid of thumbnails that fills while it paints."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ipywidgets as widgets

from vqclip_nb.studio import markup
from vqclip_nb.studio.image_inputs import thumbnail
from vqclip_nb.studio.series import SweepState
from vqclip_nb.studio.several_view import SeveralView
from vqclip_nb.sweeps import Item, Result

SIDE = 620  # pixels of an enlarged picture


def sweep(
    items: Sequence[Item], out: str | Path = "sweep", *, stop: Callable[[], bool] = lambda: False
) -> Iterator[Result]:
    """Paint the items, show a grid of them below the cell, and yield the result of each.

    After the cell has ended, a click on a thumbnail enlarges it. Raises as `vqclip_nb.sweeps.sweep` does.
    """
    from IPython.display import display

    from vqclip_nb.sweeps import sweep as paint_items

    state = SweepState(items, Path(out), f"A sweep of {len(items)} pictures")
    indices = {item.name: index for index, item in enumerate(items)}
    large = widgets.Image(format="jpeg", layout={"display": "none"})

    def enlarge(index: int) -> None:
        if (picture := state.folder(index) / "result.png").is_file():
            large.value, large.layout.display = thumbnail(picture, SIDE), ""

    view = SeveralView(enlarge)
    box = widgets.VBox([view.results, large, widgets.HTML(markup.style())])
    box.add_class("vq-studio")
    view.show(state)
    display(box)
    try:
        for result in paint_items(items, out, stop=stop):
            index = indices[result.item.name]
            state.states[index] = result.state
            if result.error:
                state.errors[index] = result.error
            view.show(state)
            yield result
    finally:
        state.ended = True
        view.show(state)
