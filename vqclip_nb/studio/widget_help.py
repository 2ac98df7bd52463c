"""Tooltips, which differ between ipywidgets 7 and 8."""

from typing import Any


def explain(widget: Any, text: str) -> None:
    """Set a control's tooltip, under the name that the installed ipywidgets uses."""
    widget.set_trait("tooltip" if widget.has_trait("tooltip") else "description_tooltip", text)
