"""Prompts that write themselves: by a tiny language model that is trained here, and by the grammar without one."""

import random
import sys

import pytest
import torch

from vqclip_nb import cli, prompts
from vqclip_nb.errors import PaintWarning, SettingsError
from vqclip_nb.models import BrokenWeights, CannotFetch, catalog, language
from vqclip_nb.prompt_writer import LONGEST, tidy, write_prompts
from vqclip_nb.suggestions import surprise, words

FEW = ["a red house by the sea at night", "a castle in the desert at dawn, pixel art"]


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """The folder of a GPT-2 of 100,000 weights that learnt fifty prompts, and the fifty."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import ByteLevelBPETokenizer

    rng = random.Random(1)
    fifty = list({surprise(words()["surprise"]["demo"], rng): None for _ in range(60)})[:50]
    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(fifty * 4, vocab_size=600, special_tokens=["<|endoftext|>"])
    tokenizer = transformers.GPT2TokenizerFast(tokenizer_object=learnt._tokenizer)
    stream = "".join("\n".join(rng.sample(fifty, len(fifty))) + "\n" for _ in range(20))
    tokens = tokenizer(stream, return_tensors="pt").input_ids[0]
    config = transformers.GPT2Config(
        vocab_size=600, n_positions=256, n_embd=64, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.GPT2LMHeadModel(config)
        optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
        for _ in range(80):
            rows = torch.stack([tokens[at : at + 64] for at in torch.randint(len(tokens) - 64, (8,))])
            optimizer.zero_grad()
            network(rows, labels=rows).loss.backward()
            optimizer.step()
    folder = tmp_path_factory.mktemp("writer")
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, fifty


def test_a_language_model_goes_on_with_the_examples(writer):
    folder, fifty = writer
    before = torch.random.get_rng_state()
    written = write_prompts(FEW, 8, model=str(folder), seed=3)
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is as it was"
    assert len(written) == len({line.casefold() for line in written}) == 8
    assert not set(written) & set(FEW)
    known = {word for line in fifty for word in line.replace(",", "").split()}
    words = [word for line in written for word in line.replace(",", "").split()]
    assert sum(word in known for word in words) > 0.8 * len(words), "it learnt their words"
    assert write_prompts(FEW, 8, model=str(folder), seed=3) == written
    assert write_prompts(FEW, 8, model=str(folder), seed=4) != written


def test_more_examples_than_a_model_can_read_are_left_out(writer):
    folder, fifty = writer
    assert len(write_prompts(fifty * 3, 2, model=str(folder))) == 2


def test_the_command_prints_one_prompt_a_line_as_a_sweep_reads_them(writer, capsys):
    folder, _ = writer
    assert cli.main(["imagine-prompts", *FEW, "-n", "5", "--model", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(prompts.parse(line)[0].weight == 1 for line in lines)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1. **A castle** by the sea.", "A castle by the sea."),
        ('- "a fox &amp; an owl",', "a fox & an owl"),
        ("<b>a [red](http://x.org) house</b>", "a red house"),
        ("a house\x1b[31m in\tred", "a house [31m in red"),
        ("a castle | fog:-0.3", "a castle | fog:-0.3"),
        ("a castle: 3", '"a castle: 3"'),
        ("fog:-1", '"fog:-1"'),
        ("see https://x.org/a", None),
        ("12. --", None),
    ],
)
def test_what_a_model_writes_is_made_a_prompt(line, text):
    assert tidy(line) == text
    if text is not None:
        assert prompts.doubts(text) == []


def test_a_long_line_is_cut_between_two_words():
    cut = tidy("a castle, " * 100)
    assert LONGEST - 10 <= len(cut) <= LONGEST
    assert cut.endswith("a castle")
    assert len(tidy("a" * 1000)) == LONGEST


def test_without_the_extra_the_grammar_writes_and_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert cli.main(["imagine-prompts", FEW[0], "-n", "6"]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert len(set(lines)) == 6
    assert all("house" in line or "at night" in line for line in lines), "those that are most like the example"
    assert "the grammar writes these prompts, not a language model" in output.err
    assert '`pip install "vqclip_nb[prompts]"`' in output.err
    assert cli.main(["imagine-prompts", FEW[0], "-n", "6", "--model", "grammar"]) == 0
    assert capsys.readouterr() == (output.out, "")
    assert cli.main(["imagine-prompts", FEW[0], "--model", "some/model"]) == 2, "it was asked for"


def test_offline_the_grammar_writes_too(monkeypatch, tmp_path):
    pytest.importorskip("transformers")
    monkeypatch.setenv("VQCLIP_OFFLINE", "1")
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path))
    with pytest.warns(PaintWarning, match="VQCLIP_OFFLINE is set"):
        assert len(write_prompts(FEW, 3)) == 3


def test_what_is_no_language_model_is_one_line(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    for model, error in ((str(tmp_path), BrokenWeights), ("./nowhere", CannotFetch)):
        with pytest.raises(error) as raised:
            write_prompts(FEW, 1, model=model)
        assert "\n" not in str(raised.value)
        assert repr(model) in str(raised.value)
    with pytest.raises(SettingsError, match="between 1 and 200, got 201"):
        write_prompts(FEW, 201)


def test_weights_of_the_catalogs_model_must_have_their_published_hash(tmp_path):
    pytest.importorskip("transformers")
    known = catalog.language_model()
    saved = tmp_path / f"models--{known.name.replace('/', '--')}" / "snapshots" / known.revision
    saved.mkdir(parents=True)
    (saved / known.file).write_bytes(b"other weights")
    with pytest.raises(BrokenWeights, match=known.sha256):
        language._check_hash(str(tmp_path))
