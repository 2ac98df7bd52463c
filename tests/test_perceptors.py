"""CLIP reads texts as openai-clip does, and says what it drops and does not know."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vqclip_nb.errors import PaintWarning
from vqclip_nb.perceptors import CLIPPerceptor


class Tokenizer:
    """A word is a token: its number in order of appearance, from 1."""

    def __init__(self):
        self.encoder = {"<|startoftext|>": 98, "<|endoftext|>": 99}
        self.words = {}

    def encode(self, text):
        return [self.words.setdefault(word, len(self.words) + 1) for word in text.lower().split()]

    def decode(self, tokens):
        return " ".join({number: word for word, number in self.words.items()}[token] for token in tokens)


class TinyCLIP(nn.Module):
    """Shows what it was given."""

    visual = SimpleNamespace(input_resolution=8)
    context_length = 6

    def encode_image(self, batch):
        self.seen = batch
        return batch.mean((2, 3))

    def encode_text(self, tokens):
        self.tokens = tokens
        return tokens.float()


@pytest.fixture
def perceptor():
    return CLIPPerceptor("tiny", TinyCLIP(), Tokenizer())


def test_images_are_normalized_as_clip_was_trained_and_embeddings_are_of_unit_length(perceptor):
    grey = torch.full((2, 3, 8, 8), 0.5)
    embedding = perceptor.encode_image(grey)
    expected = (torch.tensor(0.5) - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / torch.tensor(
        [0.26862954, 0.26130258, 0.27577711]
    )
    torch.testing.assert_close(perceptor.clip.seen[0, :, 0, 0], expected)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    assert embedding.dtype == torch.float32


def test_texts_stand_between_their_marks_filled_up_with_zeros(perceptor):
    embedding = perceptor.encode_text(["a red house", "sea"])
    assert perceptor.clip.tokens.tolist() == [[98, 1, 2, 3, 99, 0], [98, 4, 99, 0, 0, 0]]
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


def test_a_text_that_is_too_long_is_cut_and_the_rest_is_shown(perceptor):
    with pytest.warns(PaintWarning, match=r"longer than the 4 tokens .* dropped: 'five six'"):
        perceptor.encode_text(["one two three four five six"])
    assert perceptor.clip.tokens.tolist() == [[98, 1, 2, 3, 4, 99]]


def test_words_that_the_model_does_not_know_are_named_with_the_way_to_a_larger_one(perceptor):
    perceptor.clip.known_tokens = set(perceptor.tokenizer.encode("a red house"))
    with pytest.warns(PaintWarning, match=r"does not know: cyberpunk, cat\. .*vqclip models") as caught:
        perceptor.encode_text(["A cyberpunk house cat"])
    assert "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        perceptor.encode_text(["a red house"])
