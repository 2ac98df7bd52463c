"""What a face prints cannot steer a terminal, and every command it prints works when pasted."""

import json
import shutil
import subprocess
import sys

import pytest

from vqclip_nb.cli._shell import command
from vqclip_nb.escapes import visible

HOSTILE = "red\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2069\nvqclip models remove x\r\x9b1m\x7f"


def test_control_characters_are_shown_and_ordinary_text_stays():
    shown = visible(HOSTILE)
    assert shown.isprintable()
    assert shown.startswith(r"red\u001b]0;owned\u0007\u001b[2J\u202egnp.exe")
    assert json.loads(visible(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE
    for text in ("été à 10:30", "火と水", "👩\u200d🎨 می\u200cخواهم", 'a "b" \\c'):
        assert visible(text) == text


@pytest.mark.skipif(not shutil.which("bash"), reason="needs a shell")
@pytest.mark.parametrize("words", [["a b", "it's", "$HOME `id` \\ ;|&", ""], ["--out=/tmp/x"], [HOSTILE, "é'\n"]])
def test_a_printed_command_is_one_line_that_gives_the_same_words(words):
    line = command(sys.executable, "-c", "import sys; print(*sys.argv[1:], sep='\\0', end='')", operands=words)
    assert line.isprintable()
    seen = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert [word for word in seen.decode().split("\0") if word != "--"] == words


def test_dashes_stand_only_where_an_argument_could_be_an_option():
    assert command("vqclip", "paint", "--seed", 3, operands=["a house"]) == "vqclip paint --seed 3 'a house'"
    assert command("vqclip", "paint", operands=["--out=/tmp/x"]) == "vqclip paint -- --out=/tmp/x"
