"""Colours: names and hex codes, as in `navy, #ffcc00 white`, read into numbers. Needs no torch."""

import re

Colour = tuple[float, float, float]  # red, green and blue, in [0, 1]


def parse(text: str, *, name: str) -> tuple[Colour, ...]:
    """Read colours separated by commas or blanks.

    Raises ValueError, naming `name`, for an unknown colour, or for none.
    """
    from PIL import ImageColor

    colours = []
    for word in re.split(r"[\s,;]+", text.strip(" \t,;")):
        try:
            red, green, blue = ImageColor.getrgb(word)[:3]
        except ValueError:
            problem = f"got {word!r} in {text!r}" if word else "got none"
            raise ValueError(f"{name} must be colours, such as navy, #ffcc00, white, {problem}") from None
        colours.append((red / 255, green / 255, blue / 255))
    return tuple(colours)
