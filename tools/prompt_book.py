"""The prompt book: `python tools/prompt_book.py` writes docs/prompt-book.md and docs/prompt-book.jpg.

One prompt at one seed, and the same with each word of the book that the demo pair knows. `--text` prints the page.
"""

import argparse
import tempfile
from pathlib import Path

from vqclip_nb.suggestions import words
from vqclip_nb.sweeps import sweep
from vqclip_nb.sweeps.items import make_items
from vqclip_nb.sweeps.report import contact_sheet

DOCS = Path(__file__).parent.parent / "docs"
PROMPT = "a red house by the sea"
SETTINGS = {"seed": 3, "size": 160, "steps": 100, "quiet": True}
HEAD = f"""\
# Prompt book

Words that people add to a prompt, by kind. In the panel the menu **Words …** adds one to the prompt, and takes it out
again.

## What they do

The demo models know the words below the pictures, and only those of all on this page. Each picture is `{PROMPT}`,
without a word or with one, at the same seed, painted by `python tools/prompt_book.py`:

![One prompt with each word that the demo models know](prompt-book.jpg)

The times of day, the watercolor, the pencil sketch and the mosaic can be seen at once; an oil painting, pixel art and
stained glass change little here.

The published models know all the words of the next table. They were not there to try, so no picture of ours shows what
those do.

## The words of the field

| kind | words |
|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", action="store_true", help="print the page, and write nothing")
    arguments = parser.parse_args()
    table = "".join(f"| {kind} | {', '.join(all)} |\n" for kind, all in words()["book"]["any"].items())
    if arguments.text:
        print(HEAD + table, end="")
        return
    (DOCS / "prompt-book.md").write_text(HEAD + table, encoding="utf-8")
    known = [word for all in words()["book"]["demo"].values() for word in all]
    rows = [{"prompt": PROMPT}, *({"prompt": f"{PROMPT}, {word}"} for word in known)]
    with tempfile.TemporaryDirectory() as out:
        results = list(sweep(make_items(rows, SETTINGS), out))
        contact_sheet(results).convert("RGB").save(DOCS / "prompt-book.jpg", quality=88)


if __name__ == "__main__":
    main()
