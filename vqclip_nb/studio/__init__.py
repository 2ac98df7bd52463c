"""The Studio: a panel of widgets that runs the painting, in a notebook."""

from vqclip_nb.studio.panel import Studio

__all__ = ["Studio"]
