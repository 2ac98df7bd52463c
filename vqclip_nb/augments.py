"""Augments: the letters of nerdyrodent's `-aug`, each a random change of every view. Needs no torch."""

LETTERS = {
    "Hf": "mirrored",
    "Ji": "colours changed",
    "Sh": "blurred to some degree",
    "Gn": "strong noise",
    "Pe": "perspective",
    "Ro": "turned",
    "Af": "turned, moved and sheared",
    "Et": "elastic",
    "Ts": "bent like a thin plate",
    "Cr": "cropped (no effect at the perceptor's size)",
    "Er": "a rectangle erased",
    "Re": "a part, resized",
}


def parse(text: str) -> list[str]:
    """`Af Pe,ji` -> [Af, Pe, Ji]; `none` is no letter. Raises ValueError for an unknown one."""
    letters = [part.capitalize() for part in text.replace(",", " ").split() if part.lower() != "none"]
    for letter in letters:
        if letter not in LETTERS:
            raise ValueError(f"augments must be letters of {', '.join(LETTERS)}, or none, got {letter!r}")
    return letters
