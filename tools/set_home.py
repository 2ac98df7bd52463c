"""Write where the repository lives into badges and install cells: `python tools/set_home.py OWNER/REPO`.

tools/home.txt holds it; an empty one (`python tools/set_home.py ""`) means that it lives nowhere yet.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- badge -->"
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{home}/blob/main/notebooks/{name})"
)


def line(home: str, name: str) -> str:
    """The badge's line: the mark, and behind it the badge, where there is a home."""
    return f"{MARK} {BADGE.format(home=home, name=name)}" if home else MARK


def written(text: str, home: str, name: str) -> str:
    """A text with its marked line written anew, and the install cell's HOME."""
    text = re.sub(rf"^{re.escape(MARK)}.*$", lambda _: line(home, name), text, flags=re.MULTILINE)
    return re.sub(r'^HOME = ".*?"', f'HOME = "{home}"', text, flags=re.MULTILINE)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not re.fullmatch(r"([A-Za-z0-9][\w-]*/[\w.-]+)?", arguments[0]):
        print("give where the repository lives, as OWNER/REPO", file=sys.stderr)
        return 2
    (home,) = arguments
    (ROOT / "tools" / "home.txt").write_text(home + "\n", encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(written(readme.read_text(encoding="utf-8"), home, "studio.ipynb"), encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        book = json.loads(path.read_text(encoding="utf-8"))
        for cell in book["cells"]:
            source = written("".join(cell["source"]), home, path.name)
            cell["source"] = source.splitlines(keepends=True)
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
