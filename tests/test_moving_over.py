"""Every row of the page of moving over is true when it is typed, and none says no without a reason."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from vqclip_nb import Settings, canvases, cli, presets
from vqclip_nb.cli.paint import read_settings
from vqclip_nb.compat import dream, generate, imagine, notebook
from vqclip_nb.models import catalog

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "moving-over.md").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
ROWS = [line.removesuffix(" |").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
ANSWERS = sorted({row[-1].replace("\\|", "|") for row in ROWS})
TYPED = sorted({quoted for answer in ANSWERS for quoted in re.findall(r"`([^`]+)`", answer)})
THEIRS = {option.flag for tool in (generate, dream, imagine, notebook) for option in tool.TOOL.options}
PLACES = {"FILE": "a.png", "FOLDER": "folder", "RUN": "runs/a", "NAME": "demo", "MODEL": "demo", "W": "64", "H": "48"}
WORDS = {"^", "|", "painting.replace_image"}  # no commands


def filled(quoted):
    """A command of the page as words, with something in the place of each name in capitals."""
    return shlex.split(re.sub(rf"\b({'|'.join(PLACES)})\b", lambda name: PLACES[name[1]], quoted))


def parsed(words):
    return cli.parser(words[0]).parse_args(words)


def options_of_paint():
    return {word for action in parsed(["paint", "red"]).parser._actions for word in action.option_strings}


@pytest.mark.parametrize("quoted", TYPED)
def test_what_a_row_tells_to_type_can_be_typed(quoted):
    if quoted in WORDS or quoted in THEIRS:
        return
    if quoted.startswith("pip install "):
        assert re.search(r"\[(\w+)\]", quoted)[1] in EXTRAS
    elif quoted.startswith("vqclip "):
        words = [word for word in filled(quoted)[1:] if word != "--help"]
        assert hasattr(parsed(words), "run")
    elif re.fullmatch(r"--[a-z0-9-]+", quoted) and quoted in options_of_paint():
        switches = {"--seamless", "--quiet"}
        assert quoted in switches or not parsed_alone(quoted), "a switch is typed without a value"
    elif quoted.startswith("--"):
        arguments = parsed(["paint", "a house", *filled(quoted)])
        if not hasattr(arguments, "out"):
            settings = read_settings(arguments)
            for name in settings.canvases:
                canvases.check(name)
                family, _, model = name.partition("/")
                assert not model or catalog.info(model, family)
    else:
        assert quoted not in options_of_paint()
        story = Settings(prompt=quoted, prompt_masks=["mask.png"] if "[mask" in quoted else [])
        assert any(mark in quoted for mark in "@|[:"), "it is a prompt of some form"
        assert story.prompt


def parsed_alone(flag):
    try:
        return bool(parsed(["paint", "a house", flag]))
    except SystemExit:
        return False


def test_every_row_answers_and_a_no_says_why():
    assert len(ROWS) > 200
    for answer in ANSWERS:
        assert answer.strip()
        for no in ("Not here: ", "Changes nothing here: "):
            assert not answer.startswith(no) or len(answer.removeprefix(no).split()) > 3, answer
    assert not re.search(r"^\| .*\| *\|$", "\n".join(line for line in PAGE.splitlines() if "| `" in line), re.MULTILINE)


def test_the_commands_of_the_text_can_be_typed():
    text = "\n".join(line for line in PAGE.splitlines() if not line.startswith("|"))
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    commands += re.findall(r"`(vqclip [^`]+)`", text)
    for part in (part for line in commands for part in line.split(" && ")):
        words = filled(part.replace("TEXT", "'a house'"))[1:]
        assert hasattr(parsed(words), "run") or words == ["models"]
    for preset in re.findall(r"--preset ([a-z0-9-]+)", PAGE):
        assert presets.load(preset)
