"""The docs are true: links lead somewhere, code on the pages runs, and the reference of settings is current."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for folder in (".", "docs", "training") for path in (ROOT / folder).glob("*.md"))
TUTORIAL = (ROOT / "docs" / "adding-a-canvas.md").read_text(encoding="utf-8")
LOOK = """
import sys
from vqclip_nb import load_settings
from vqclip_nb.studio.form import Form

form = Form(lambda name: None)
assert "tile" not in form.controls
form.load({"canvas": "tiles", "canvas_options": {"tile": 8, "joints": 0.2}})
assert form.value("tile") == 8 and form.value("joints") == 0.2
settings = load_settings(sys.argv[1])
assert settings.canvas == "tiles" and settings.canvas_options == {"tile": 8, "joints": 0.2}
"""


def blocks(text, language):
    """The code blocks of a page, each with its title or None."""
    return re.findall(rf'^```{language}(?: title="(.+?)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


def python(*words, path, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT])), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, *words], env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    return process.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s#]+)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_the_reference_of_settings_is_current(tmp_path):
    python("tools/settings_reference.py", "--own", "--out", str(tmp_path / "settings.md"), path=[])
    now = (tmp_path / "settings.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == now, "run `python tools/settings_reference.py --own`"


def test_the_page_of_moving_over_is_current(tmp_path):
    python("tools/moving_over.py", "--out", str(tmp_path / "page.md"), path=[])
    now = (tmp_path / "page.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "moving-over.md").read_text(encoding="utf-8")
    assert page == now, "run `python tools/moving_over.py`"


def test_the_prompt_book_is_current():
    now = python("tools/prompt_book.py", "--text", path=[])
    page = (ROOT / "docs" / "prompt-book.md").read_text(encoding="utf-8")
    assert page == now, "run `python tools/prompt_book.py`"


def test_the_code_of_the_python_page_runs(tmp_path):
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (tmp_path / "page.py").write_text("\n".join(code for _, code in blocks(page, "python")), encoding="utf-8")
    printed = python("page.py", path=[], cwd=tmp_path)
    assert len(printed.splitlines()) == 3
    assert list(tmp_path.glob("runs/*/result.png"))


def lay_down(folder):
    """The tutorial's package as pip would lay it down."""
    for title, code in blocks(TUTORIAL, "python"):
        (folder / title).parent.mkdir(exist_ok=True)
        (folder / title).write_text(code, encoding="utf-8")
    ((_, declared),) = blocks(TUTORIAL, "toml")
    project = tomllib.loads(declared)["project"]
    record = folder / f"{project['name']}-{project['version']}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (record / "entry_points.txt").write_text("\n".join(lines) + "\n")


def test_the_tutorials_canvas_appears_everywhere(tmp_path):
    lay_down(tmp_path)
    path = [tmp_path]
    (_, paint), (_, contract) = blocks(TUTORIAL, "sh")
    options = re.findall(r"--canvas .*", paint)[0].split()
    small = ["--size", "32", "32", "--steps", "2", "--cutn", "2", "--device", "cpu", "--quiet", "--out", str(tmp_path)]

    assert "--tile TILE" in python("-m", "vqclip_nb", "paint", "--help", path=path)
    result = python("-m", "vqclip_nb", "paint", "a red circle", *options, *small, path=path).strip()
    assert "--canvas tiles --tile 8 --joints 0.2" in " ".join(
        python("-m", "vqclip_nb", "info", result, path=path).split()
    )
    python("-c", LOOK, result, path=path)
    python("tools/settings_reference.py", "--out", str(tmp_path / "settings.md"), path=path)
    assert "| `--joints` | **Joints**: how dark" in (tmp_path / "settings.md").read_text(encoding="utf-8")
    assert "7 passed" in python("-m", *contract.split(), "-q", "-p", "no:cacheprovider", path=path)
