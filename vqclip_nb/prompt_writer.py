"""Prompt writer: writes prompts like a few examples, with a language model or the grammar of suggestions.toml.

The language model is given a heading and the examples, and continues the list (few-shot).
"""

import html
import random
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vqclip_nb import prompts
from vqclip_nb.errors import PaintWarning, SettingsError
from vqclip_nb.prompts import Prompt
from vqclip_nb.suggestions import surprise, vocabulary, words

if TYPE_CHECKING:
    from torch import Tensor

GRAMMAR = "grammar"  # as a model's name
HEADING = "A list of sentences that describe pictures, one a line:"
MOST, LONGEST = 200, 200  # the number of prompts of one call, and the letters of a prompt
_ROUNDS = 12
_MARKUP = (
    (re.compile(r"<[^<>]*>"), " "),  # tags
    (re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)"), r"\1"),  # links, pictures
    (re.compile(r"[*_`#~]+"), ""),
    (re.compile(r"^\W*(?:\d{1,3}[.)]\s+)?\W*"), ""),  # bullets, numbers, quotes
    (re.compile(r"[^\w.!?)\]]+$"), ""),
)


def write_prompts(
    examples: Sequence[str], count: int = 8, *, model: str | None = None, seed: int = 0, perceptor: str = "demo"
) -> list[str]:
    """Write at most `count` different prompts like the examples; the same seed writes the same on one machine.

    model: the id or folder of a causal language model, or "grammar". Default: the model of the catalog; if it cannot be
    loaded, a PaintWarning says so and the grammar is used. perceptor: whose words the grammar uses. Raises
    SettingsError, and for a named model what `models.load_language` raises.
    """
    if not 1 <= count <= MOST:
        raise SettingsError(f"the number of prompts must be between 1 and {MOST}, got {count}")
    lines = [line.strip() for text in examples for line in text.splitlines() if line.strip()]
    if model == GRAMMAR:
        return _by_grammar(lines, count, seed, perceptor)
    from vqclip_nb import models

    try:
        network, tokenizer = models.load_language(model)
    except (ImportError, OSError) as error:
        if model is not None:
            raise
        warnings.warn(f"the grammar writes these prompts, not a language model: {error}", PaintWarning, stacklevel=2)
        return _by_grammar(lines, count, seed, perceptor)
    results = _by_model(network, tokenizer, lines, count, seed)
    if len(results) < count:
        problem = f"the language model wrote {len(results)} prompts that can be used, not {count}; try another --seed"
        warnings.warn(problem, PaintWarning, stacklevel=2)
    return results


def tidy(line: str) -> str | None:
    """Clean a line that a model wrote: no markup, at most LONGEST letters. None when no prompt remains."""
    text = "".join(letter if letter.isprintable() else " " for letter in html.unescape(line))
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    if len(text) > LONGEST:
        text = text[: LONGEST + 1].rpartition(" ")[0][:LONGEST].rstrip(" ,;:-") or text[:LONGEST]
    if sum(map(str.isalpha, text)) < 3 or "://" in text:
        return None
    try:
        plain = not prompts.doubts(text) and any(part.weight == 1 for part in prompts.parse(text))
    except SettingsError:
        plain = False
    return text if plain else str(Prompt(text))


def _by_grammar(examples: Sequence[str], count: int, seed: int, perceptor: str) -> list[str]:
    """Sentences of the grammar, sorted by the number of words shared with the examples."""
    rng = random.Random(seed)
    grammar = words()["surprise"][vocabulary(perceptor)]
    sentences = _new_lines((surprise(grammar, rng) for _ in range(40 * count)), examples)
    example_words = {word for line in examples for word in re.findall(r"\w{3,}", line.lower())}
    return sorted(sentences, key=lambda line: -len(example_words & set(re.findall(r"\w{3,}", line))))[:count]


def _by_model(network: Any, tokenizer: Any, examples: Sequence[str], count: int, seed: int) -> list[str]:
    """Prompts that a language model writes after a heading and the examples, in several rounds."""
    from vqclip_nb import device

    network = network.to(device.choose("auto"))
    results: list[str] = []
    for turn in range(_ROUNDS):
        rng = random.Random(f"{seed}/{turn}")
        order = rng.sample(examples, len(examples))
        lines = _continue_list(network, tokenizer, order, 48 * (count - len(results)) + 16, rng.getrandbits(63))
        results += _new_lines(filter(None, map(tidy, lines)), [*examples, *results])
        if len(results) >= count:
            break
    return results[:count]


def _continue_list(network: Any, tokenizer: Any, examples: list[str], most: int, seed: int) -> list[str]:
    """The complete lines that a model writes after a list, of at most `most` tokens."""
    import torch

    room = int(getattr(network.config, "max_position_embeddings", 0) or 1024)
    most = min(most, room // 2)
    while (tokens := _tokens(tokenizer, examples)).shape[1] > room - most and examples:
        examples = examples[1:]
    target = network.device
    with torch.random.fork_rng([target] if target.type == "cuda" else []), torch.inference_mode():
        torch.manual_seed(seed)  # transformers uses the global generator, which fork_rng restores
        output = network.generate(
            tokens.to(target),
            attention_mask=torch.ones_like(tokens).to(target),
            do_sample=True, temperature=0.9, top_p=0.95, top_k=0, max_new_tokens=most,
            pad_token_id=tokenizer.eos_token_id or 0,
        )[0, tokens.shape[1] :]  # fmt: skip
    lines = str(tokenizer.decode(output, skip_special_tokens=True)).split("\n")
    complete = len(output) < most
    return lines if complete else lines[:-1]


def _tokens(tokenizer: Any, examples: Sequence[str]) -> "Tensor":
    return tokenizer("\n".join([HEADING, *examples, ""]), return_tensors="pt").input_ids


def _new_lines(lines: Iterable[str], old: Iterable[str]) -> Iterator[str]:
    """The lines that are not in `old`, each once, ignoring case."""
    known = {line.casefold() for line in old}
    for line in lines:
        if line.casefold() not in known:
            known.add(line.casefold())
            yield line
