"""The prompt book: `python tools/prompt_book.py` writes docs/prompt-book.md and docs/prompt-book.jpg.

The picture shows one prompt at one seed, without and with each word of the book that the demo models know. `--text`
prints the page and paints nothing.
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

Words that people add to a prompt, by kind. In the panel, the menu **Words …** adds a word to the prompt or removes it.

## What they do

Of all the words on this page, the demo models know only those below the pictures. Each picture is `{PROMPT}`,
without or with one more word, at the same seed. `python tools/prompt_book.py` paints them:

![The same prompt with each word that the demo models know](prompt-book.jpg)

The times of day, `a watercolor`, `a pencil sketch` and `a mosaic` have a clear effect; `an oil painting`, `pixel art`
and `stained glass` change little.

The published models know all the words in the next table. They were not available for this page, so it has no pictures
of these words.

## Words for the published models

| kind | words |
|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", action="store_true", help="print the page, but write and paint nothing")
    arguments = parser.parse_args()
    table = "".join(f"| {kind} | {', '.join(terms)} |\n" for kind, terms in words()["book"]["any"].items())
    if arguments.text:
        print(HEAD + table, end="")
        return
    (DOCS / "prompt-book.md").write_text(HEAD + table, encoding="utf-8")
    known = [word for terms in words()["book"]["demo"].values() for word in terms]
    rows = [{"prompt": PROMPT}, *({"prompt": f"{PROMPT}, {word}"} for word in known)]
    with tempfile.TemporaryDirectory() as out:
        results = list(sweep(make_items(rows, SETTINGS), out))
        contact_sheet(results).convert("RGB").save(DOCS / "prompt-book.jpg", quality=88)


if __name__ == "__main__":
    main()
