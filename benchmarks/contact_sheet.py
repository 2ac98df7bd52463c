"""Paint the README's contact sheet: `python benchmarks/contact_sheet.py assets/contact-sheet.jpg`.

Every picture at the default settings, one after the other as they stand here; none is left out or painted twice.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor

from demo_quality import contact_sheet, paint_one

PROMPTS = (
    "a red house by the sea at sunset, an oil painting",
    "a castle in a snowy field at night",
    "a yellow star on a blue background",
    "a lighthouse and clouds by the sea by day",
    "a tree in a green meadow at dawn, a watercolor",
    "a purple heart on a pink background, stained glass",
    "an orange boat and the moon on the sea at night",
    "mountains in the desert at sunset, an oil painting",
    "a blue house and red flowers in a green meadow by day",
    "a castle and mountains in a forest under a stormy sky",
    "a red circle on a white background, a mosaic",
    "a white boat on the sea by day, a watercolor",
    "a lighthouse by the sea under a stormy sky, an oil painting",
    "a pink ring on a black background",
    "a tree in the desert at sunset, pixel art",
    "a yellow house in a city at night, pixel art",
    "the sun and a castle in a green meadow by day, stained glass",
    "a green diamond on a yellow background, an oil painting",
    "a red boat on the sea at sunset, stained glass",
    "mountains in a snowy field by day, a pencil sketch",
    "a brown house in a forest by day, a pencil sketch",
    "a black cross on an orange background, pixel art",
    "pink flowers in a green meadow at dawn, an oil painting",
    "a castle by the sea at dawn, a mosaic",
)


def main() -> None:
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        pictures = [picture for picture, _ in pool.map(paint_one, [(prompt, {}) for prompt in PROMPTS])]
    contact_sheet(pictures, PROMPTS, columns=6).save(sys.argv[1], quality=90)


if __name__ == "__main__":
    main()
