"""What ipywidgets 7 and 8 do differently about tooltips."""

from typing import Any


def explain(widget: Any, text: str) -> None:
    """Give a control a tooltip, by the name that this ipywidgets has for it."""
    widget.set_trait("tooltip" if widget.has_trait("tooltip") else "description_tooltip", text)
