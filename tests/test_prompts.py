"""Prompts are read as published, with quotes, escapes and URLs."""

import math
import re
import shlex

import pytest

from vqclip_nb.errors import SettingsError
from vqclip_nb.prompts import Prompt, doubts, parse, parse_picture
from vqclip_nb.schedules import Schedule

RISING = Schedule(((0, 1 / 3), (60, 2.0)))


@pytest.mark.parametrize(
    ("line", "prompts"),
    [
        ("a castle:1.5 | fog:-0.3 | watercolor", [("a castle", 1.5), ("fog", -0.3), ("watercolor", 1)]),
        ("a castle:1:-0.9", [("a castle", 1, -0.9)]),
        ('"ratio 16:9 | wide":2', [("ratio 16:9 | wide", 2)]),
        (r"ratio 16\:9 \| wide", [("ratio 16:9 | wide",)]),
        (r"a \"red\" house", [('a "red" house',)]),
        ("https://example.org/a:b.png?x=1:0.5", [("https://example.org/a:b.png?x=1", 0.5)]),
        ("http://localhost:8080/a | b", [("http://localhost:8080/a",), ("b",)]),
        ("a | | b |", [("a",), ("b",)]),
        ("a:1:-inf", [("a", 1, -math.inf)]),
        ("a: 0:(1), 60:(-.2) | b:2", [("a", Schedule(((0, 1.0), (60, -0.2)))), ("b", 2)]),
        ("a:0:(1),9:(2):-0.5", [("a", Schedule(((0, 1.0), (9, 2.0))), -0.5)]),
        ("", []),
        ("Star Wars: Return of the Sith", [("Star Wars: Return of the Sith",)]),
        ("Star Wars: Return of the Sith:0.5", [("Star Wars: Return of the Sith", 0.5)]),
        ("scene at 10:30", [("scene at 10:30",)]),
        ("scene at 10:30:0.5 | ratio 16:9", [("scene at 10:30", 0.5), ("ratio 16:9",)]),
        ("Blade Runner: 2049", [("Blade Runner: 2049",)]),
        ("a castle 2:1.5", [("a castle 2", 1.5)]),
        ('"at 10":30', [("at 10", 30)]),
        ("chapter: 3", [("chapter", 3)]),
        ("a:b", [("a:b",)]),
        ("a:1:x", [("a:1:x",)]),
    ],
)
def test_prompts_are_text_weight_stop(line, prompts):
    assert parse(line) == tuple(Prompt(*prompt) for prompt in prompts)


@pytest.mark.parametrize(
    "line",
    [
        "a:nan",
        "a:inf",
        "a:-inf",
        "a:1e999",
        "a:1:inf",
        "a:1:2:3",
        ":2",
        'a "b',
        "a:0:(1), 0:(2)",
        "a:0:(1e999)",
    ],
)
def test_what_is_no_prompt_is_one_line(line):
    with pytest.raises(SettingsError, match=r"^prompt[^\n]*$"):
        parse(line)


@pytest.mark.parametrize(
    ("line", "doubt"),
    [
        ("scene at 10:30", """if 30 is a weight, write '"scene at 10":30'"""),
        ("Blade Runner: 2049", """if 2049 is a weight, write '"Blade Runner":2049'"""),
        ("it's 10:30", """write '"it'"'"'s 10":30'"""),
        ("chapter: 3", """read as 'chapter' with the weight 3; to keep the colon, write '"chapter: 3"'"""),
        ("a castle:1,5", "'a castle:1,5' is read as a text; a weight is a number with a point"),
    ],
)
def test_a_doubtful_reading_is_said_with_a_remedy_that_can_be_pasted(line, doubt):
    (sentence,) = doubts(line)
    assert doubt in sentence
    if "write " in sentence:
        (argument,) = shlex.split(sentence.rpartition("write ")[2])
        assert parse(argument) != parse(line)
        assert doubts(argument) == []


@pytest.mark.parametrize("line", ["a castle:1.5 | fog:-0.3", "Star Wars: Return of the Sith", "a:1:0.4", '"a: b":2'])
def test_a_plain_reading_is_not_doubted(line):
    assert doubts(line) == []


@pytest.mark.parametrize("line", ["a:1:2:3", 'a "b'])
def test_a_remedy_can_be_pasted(line):
    with pytest.raises(SettingsError) as error:
        parse(line)
    (argument,) = shlex.split(re.search(r"(?:colons:|as in) (.*)", str(error.value))[1])
    assert parse(argument)


@pytest.mark.parametrize(
    "text", ["plain", "room 7", "a: b | c", 'say "hi"', "back\\slash", "https://x.org:80/y", 'end"']
)
@pytest.mark.parametrize("weights", [(), (0.5,), (30,), (2049,), (-1.0, 0.25), (1 / 3, -1.23456789e-7), (RISING, 0.5)])
def test_a_prompt_written_is_the_prompt_read(text, weights):
    prompt = Prompt(text, *weights)
    assert parse(str(prompt)) == (prompt,)


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("a.png", Prompt("a.png")),
        (r"C:\pictures\a.png:0.5", Prompt(r"C:\pictures\a.png", 0.5)),
        ("a.png:-1:0.3", Prompt("a.png", -1, 0.3)),
        ('"a:1":2', Prompt("a:1", 2)),
        ("a.png:0:(1), 9:(2):0.3", Prompt("a.png", Schedule(((0, 1.0), (9, 2.0))), 0.3)),
    ],
)
def test_a_picture_keeps_the_colons_of_its_name(line, prompt):
    assert parse_picture(line) == prompt


def test_a_bots_command_within_a_prompt_is_named():
    for command in (".imagine", "/Imagine", " !dream"):
        (sentence,) = doubts(f"{command} a red house | oil")
        assert sentence.endswith("leave it out: 'a red house | oil'")
    assert doubts("imagine a red house | ./paint") == []
