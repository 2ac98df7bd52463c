"""What people have stays as it is, and what they lack is not missed. `tools/environments.sh` does this for real."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def listed(name):
    """The requirements in a file, by their names."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {re.sub("[-_.]+", "-", each.name).lower(): each for each in found}


def test_nothing_that_colab_has_would_be_replaced():
    colab, ours = listed("tools/colab.txt"), listed("requirements.txt")
    assert {"torch", "torchvision", "numpy", "ipywidgets", "ipython", "pillow", "setuptools"} <= colab.keys()
    for name in ours.keys() & colab.keys():
        (pin,) = colab[name].specifier
        assert ours[name].specifier.contains(pin.version), f"{ours[name]} would replace Colab's {pin.version}"


def test_requirements_are_floors():
    """A ceiling or a pin would replace what a person has as soon as they are ahead of it."""
    for each in listed("requirements.txt").values():
        assert {part.operator for part in each.specifier} <= {">=", "!="}, each


def test_it_paints_without_what_environments_lack_and_says_nothing_that_is_not_about_us(tmp_path):
    script = """
        import sys
        class Lacking:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("pkg_resources", "torchvision", "pytorch_lightning", "lightning"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Lacking())

        from vqclip_nb import Settings, cli, paint
        assert len(list(paint(Settings(prompt="a red circle", steps=2, size=(64, 64), cutn=4, device="cpu")))) == 2
        words = "paint,a red circle,--steps,3,--size,64,64,--cutn,4,--device,cpu,--quiet"
        sys.exit(cli.main(words.split(",")))
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert len(list(tmp_path.glob("runs/*/result.png"))) == 1
