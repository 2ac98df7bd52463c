"""The notebooks run from top to bottom, carry no outputs, and know where they live."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from PIL import Image, ImageDraw

from tests import colab

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_tidy(path):
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    for cell in book.cells:
        assert len(cell.source.splitlines()) <= 13
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.parametrize("name", ["studio", "tour", "film", "colab_check"])
def test_a_notebook_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    for cell in book.cells:  # the way is tested, not the length of it
        cell.source = cell.source.replace('"steps": 40', '"steps": 2').replace("steps=30", "steps=2")
        cell.source = cell.source.replace('"size": 128', '"size": 32').replace("fps=8, camera", "fps=1, camera")
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = [output.data for output in outputs if "data" in output]
    if name == "tour":
        assert sum("image/png" in data for data in shown) == 9
        assert any("video/mp4" in str(data.get("text/html", "")) for data in shown)
    elif name == "film":
        assert sum("video/mp4" in str(data.get("text/html", "")) for data in shown) == 4
    else:
        assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)


def test_the_labels_of_the_tour_are_whole_and_fit_their_pictures():
    book = nbformat.read(ROOT / "notebooks" / "tour.ipynb", 4)
    (source,) = [cell.source for cell in book.cells if cell.source.startswith("def label")]
    plain = "a castle in a green meadow by day"
    names = {"PLAIN": {"prompt": plain}, "textwrap": textwrap}
    exec(source, names)
    draw = ImageDraw.Draw(Image.new("RGB", (128, 128)))
    for change, words in (
        ({}, "plain"),
        ({"cutouts": "pooling-published"}, "cutouts pooling-published"),
        ({"prompt": f"{plain}, an oil painting"}, "prompt ..., an oil painting"),
        ({"prompt": "a tree in a forest by day | green:-0.5"}, "prompt a tree in a forest by day | green:-0.5"),
    ):
        lines = names["label"](change).split("\n")
        assert " ".join(lines).replace("- ", "-") == words
        assert max(draw.textlength(line) for line in lines) <= 120


def test_one_tick_keeps_a_copy_of_every_run_on_google_drive(monkeypatch):
    asked = colab.stand_in(monkeypatch)
    book = nbformat.read(ROOT / "notebooks" / "studio.ipynb", 4)
    install, shown = [cell.source for cell in book.cells if cell.cell_type == "code"]
    assert install.count("DRIVE = False  # @param") == 1
    (messages,) = [line for line in shown.splitlines() if "drive_folder() if DRIVE" in line]
    monkeypatch.setattr("vqclip_nb.studio.Studio", lambda mirror: mirror)
    names = {"DRIVE": True}
    exec(f"from vqclip_nb.studio import Studio\nfrom vqclip_nb.studio.frontend import drive_folder\n{messages}", names)
    assert asked == [("mount", "/content/drive")]
    assert names["studio"].startswith("/content/drive/MyDrive/")


def homes(root):
    """Every place that says where the repository lives."""
    found = {}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        found[f"{path.name}: install"] = re.search(r'HOME = \\"(.*?)\\"', text)[1]
        badge = re.search(r"colab\.research\.google\.com/github/(.+?)/blob", text)
        found[f"{path.name}: badge"] = badge[1] if badge else ""
    badge = re.search(
        r"colab\.research\.google\.com/github/(.+?)/blob", (root / "README.md").read_text(encoding="utf-8")
    )
    found["README: badge"] = badge[1] if badge else ""
    return found


def test_badges_and_install_cells_agree_on_where_the_repository_lives(tmp_path):
    home = (ROOT / "tools" / "home.txt").read_text().strip()
    assert set(homes(ROOT).values()) == {home}
    for name in ("notebooks", "tools"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(tmp_path)], check=True)
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    for new in ("someone/fork-1", "a/b", ""):
        subprocess.run([sys.executable, str(tmp_path / "tools" / "set_home.py"), new], check=True)
        assert set(homes(tmp_path).values()) == {new}
        for path in (tmp_path / "notebooks").glob("*.ipynb"):
            nbformat.validate(nbformat.read(path, 4))
    wrong = subprocess.run(
        [sys.executable, str(tmp_path / "tools" / "set_home.py"), 'x/y"; import os'], capture_output=True, text=True
    )
    assert wrong.returncode == 2
    assert "OWNER/REPO" in wrong.stderr
