"""Write the page for people who come from other tools, docs/moving-over.md: `python tools/moving_over.py`.

It is read off the tables by which `vqclip generate`, `dream`, `imagine` and `import` work.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from vqclip_nb.compat import big_sleep, deep_daze, dream, generate, imagine, notebook
from vqclip_nb.compat.options import Option, Tool
from vqclip_nb.compat.other_tools import Peer, peers

PAGE = Path(__file__).resolve().parent.parent / "docs" / "moving-over.md"
INTRODUCTION = """# Moving over

For people who used another tool that paints with CLIP. The commands of three tools work here as they are. For others,
this page says what to type instead. (`python tools/moving_over.py` writes it.)

```sh
vqclip generate -p "A painting of an apple in a fruit bowl" -i 300 -s 256 256 -o output.png
vqclip dream "a pyramid made of ice" --save_progress --iterations 200 --epochs 1
vqclip imagine "a house in the forest" --num_layers 16 --epochs 1 --iterations 200
```

Each writes its picture where the old tool did, and prints the `vqclip paint` command that paints the same. It also
keeps a folder in `runs/`, with frames, film and state: `vqclip resume RUN` continues the run, and writes the picture
again in the same place. The published models are downloaded on first use. With `--demo` nothing is downloaded: the
small models in the package paint, at their own settings. You get exactly the steps that you ask for (the old tools
made one more), and the last picture is always saved.

```python
from vqclip_nb.compat.big_sleep import Imagine

dream = Imagine(text="a pyramid made of ice", lr=5e-2, save_every=25, save_progress=True)
dream()
dream.set_text("a castle of glass")
dream()
```

`vqclip_nb.compat.deep_daze` has Deep Daze's `Imagine`. Both take the arguments of the original, and three more:
`device`; `runs`, the folder of runs; and `demo`, to paint with the models in the package.

`vqclip import FILE` reads old work and writes its settings into a new file. It says which settings it had to leave
out. FILE may be

- a script with commands of generate.py, dream or imagine,
- a picture of pixray, rkhamilton, nerdyrodent or the notebook of 2021,
- a settings file of pixray, rkhamilton, pytti, Disco Diffusion or DiscoArt,
- a notebook with the fields of one of these.

It runs no code of the file, and opens no other file that is named there.

```sh
vqclip import settings.txt && vqclip paint --settings settings.settings.json
```

In the tables, RUN is the folder of a run, FILE a file of yours, and MODEL a model that `vqclip models` lists. Cutouts
are the parts of a picture that CLIP is shown at a step. Numbers that change along the run are written as keyframes of
steps, as in `--lr "0:(0.1), 60:(0.05)"`.
"""
_SAME = "The last column names the same of"
HEADINGS = {
    "generate": f"`vqclip generate` takes these options, with `-` or `_` in their names. {_SAME} `vqclip paint`.",
    "dream": f"`vqclip dream TEXT` takes these options. {_SAME} `vqclip paint --canvas biggan/512`.",
    "imagine": f"`vqclip imagine TEXT` takes these options. {_SAME} `vqclip paint --canvas siren`.",
    "notebook": f"`vqclip import FILE` reads the fields of its cells. {_SAME} `vqclip paint`. "
    "Presets for its versions: `updated`, `pooling`, `mse` and `crowson`.",
}
FATES = {"moot": "Changes nothing here: ", "refused": "Not here: ", "missing": "Not here: "}


def page() -> str:
    """The page as Markdown."""
    tools = [generate.TOOL, dream.TOOL, imagine.TOOL, notebook.TOOL]
    parts = [INTRODUCTION, *map(_tool, tools), "\n".join(_differences()), *map(_peer, peers().values())]
    return "\n".join(parts)


def _tool(tool: Tool) -> str:
    groups = groupby(tool.options, lambda option: (option.fate, option.here))
    rows = "\n".join(_options(list(options)) for _, options in groups)
    title = f"{tool.title[:1].upper()}{tool.title[1:]}"
    return f"## {title}\n\n{HEADINGS[tool.command]}\n\n| there | default | here |\n|---|---|---|\n{rows}\n"


def _options(options: Sequence[Option]) -> str:
    """A row for options of one answer."""
    names = ", ".join(f"`{option.name}`" + (f" `{option.short}`" if option.short else "") for option in options)
    defaults = [option.default for option in options if option.default not in (None, "", (), False)]
    shown = ", ".join(f"`{default}`" for default in defaults if default is not True or len(options) == 1)
    return f"| {names} | {shown} | {_said(options[0].fate, options[0].here)} |"


def _differences() -> Iterator[str]:
    """How the Python classes differ from the commands."""
    yield "## Big Sleep and Deep Daze in Python\n"
    for module, command in ((big_sleep, dream), (deep_daze, imagine)):
        ours = {option.name: option.default for option in command.TOOL.options}
        differing = [option for option in module.TOOL.options if ours.get(option.name, ...) != option.default]
        lacking = ", ".join(f"`{name}`" for name in ours if name not in {option.name for option in module.TOOL.options})
        yield f"`{module.TOOL.title}` takes the options of `vqclip {command.TOOL.command}` without {lacking}."
        yield "These differ:\n"
        yield "| there | default | here |\n|---|---|---|"
        yield "\n".join(_options([option]) for option in differing) + "\n"


def _peer(peer: Peer) -> str:
    title = f"{peer.title[:1].upper()}{peer.title[1:]}"
    preset = f"`vqclip paint --preset {peer.preset}` paints with its numbers. " if peer.preset else ""
    rows = "\n".join(
        f"| {', '.join(f'`{name}`' for name in row.names)} | {_said(row.fate, row.answer)} |" for row in peer.rows
    )
    return f"## {title}\n\n{preset}Its options, and what to type here:\n\n| there | here |\n|---|---|\n{rows}\n"


def _said(fate: str, text: str) -> str:
    begin = FATES.get(fate, "")
    text = text if begin or text.startswith("`") else text[:1].upper() + text[1:]
    return (begin + text).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    parser.parse_args(arguments).out.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
