"""CLIP reads texts as openai-clip does, and says what it drops and does not know."""

import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vqclip_nb import Settings, cli, models, paint
from vqclip_nb.errors import PaintWarning
from vqclip_nb.perceptors import CLIPPerceptor, OpenCLIPPerceptor, load


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


def test_of_a_text_that_is_far_too_long_only_the_beginning_of_the_rest_is_shown(perceptor):
    with pytest.warns(PaintWarning) as caught:
        perceptor.encode_text(["word " * 500])
    assert len(str(caught[0].message)) < 200


def test_an_emoji_that_the_model_does_not_know_is_named(perceptor):
    perceptor.clip.known_tokens = set(perceptor.tokenizer.encode("a cat"))
    assert perceptor.unknown_words("a cat, \N{CAT FACE}!") == ["\N{CAT FACE}"]


def test_words_that_the_model_does_not_know_are_named_with_the_way_to_a_larger_one(perceptor):
    perceptor.clip.known_tokens = set(perceptor.tokenizer.encode("a red house"))
    with pytest.warns(PaintWarning, match=r"does not know: cyberpunk, cat\. .*vqclip models") as caught:
        perceptor.encode_text(["A cyberpunk house", "cyberpunk", "a cat"])
    (warning,) = caught
    assert "\n" not in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        perceptor.encode_text(["a red house"])


OPEN = "open_clip/ViT-S/laion"


@pytest.fixture
def open_clip(monkeypatch):
    """The extra, with one model in it that is a few lines."""

    class Network(TinyCLIP):
        visual = SimpleNamespace(image_size=(8, 8), image_mean=(0.5, 0.5, 0.5), image_std=(0.25, 0.25, 0.25))

        def encode_text(self, tokens):
            return tokens[:, :3].float()

    extra = SimpleNamespace(
        list_pretrained=lambda: [("ViT-S", "laion")],
        list_pretrained_tags_by_model=lambda model: ["laion"] if model == "ViT-S" else [],
        list_models=lambda: ["ViT-S", "ViT-S-quickgelu"],
        create_model=lambda model, pretrained, cache_dir, require_pretrained: Network(),
        get_tokenizer=lambda model: lambda texts: torch.tensor([[1, len(text), 3, 0] for text in texts]),
    )
    monkeypatch.setitem(sys.modules, "open_clip", extra)
    return extra


def test_an_open_clip_model_is_a_perceptor_like_any_other(open_clip):
    [perceptor] = load(OPEN)
    embedding = perceptor.encode_image(torch.full((2, 3, 8, 8), 0.75))
    torch.testing.assert_close(perceptor.clip.seen, torch.ones(2, 3, 8, 8))
    torch.testing.assert_close(embedding, torch.full((2, 3), 3**-0.5))
    torch.testing.assert_close(perceptor.encode_text(["two"]), torch.tensor([[1.0, 3.0, 3.0]]) / 19**0.5)

    run_settings = Settings(prompt="red", canvas="pixels", perceptor=f"{OPEN} + demo", size=(16, 16), steps=1, cutn=1)
    (frame,) = paint(run_settings.replace(device="cpu"))
    assert {"demo: red", f"{OPEN}: red"} < frame.losses.keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [(OPEN, "`pip install open_clip_torch`"), ("open_clip/ViT-S/lion", "closest of ViT-S are laion")],
    ids=["not installed", "unknown"],
)
def test_an_open_clip_model_that_is_not_there_is_one_line(open_clip, monkeypatch, capsys, name, message):
    if name == OPEN:
        monkeypatch.setitem(sys.modules, "open_clip", None)
    assert cli.main(["paint", "red", "--perceptor", name, "--canvas", "pixels", "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert message in line


def test_an_open_clip_model_that_cannot_be_fetched_is_one_line(open_clip):
    def dead(*_, **__):
        raise RuntimeError("no route\nto the host")

    open_clip.create_model = dead
    with pytest.raises(models.CannotFetch, match=rf"^{OPEN} could not be fetched \(no route\)"):
        load(OPEN)


@pytest.mark.long
def test_a_network_of_the_real_extra_fits():
    extra = pytest.importorskip("open_clip")
    sides = {"layers": 1, "width": 64}
    network = extra.CLIP(16, {**sides, "image_size": 32, "patch_size": 16}, {**sides, "heads": 1}).eval()
    network.visual.image_mean, network.visual.image_std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    perceptor = OpenCLIPPerceptor("real", network, extra.SimpleTokenizer())
    assert perceptor.encode_image(torch.rand(2, 3, perceptor.cut_size, perceptor.cut_size)).shape == (2, 16)
    assert perceptor.encode_text(["a red house", "the sea"]).shape == (2, 16)
    assert perceptor.sigmoid is None


@pytest.mark.long
def test_a_siglip_of_the_real_extra_fits():
    extra = pytest.importorskip("open_clip")
    vision = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
    text = {"layers": 1, "width": 64, "heads": 1, "vocab_size": 100, "context_length": 8, "pool_type": "last"}
    network = extra.CustomTextCLIP(16, vision, {**text, "no_causal_mask": True}, init_logit_bias=-10).eval()
    network.visual.image_mean, network.visual.image_std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    perceptor = OpenCLIPPerceptor("siglip", network, lambda texts: torch.tensor([[len(texts[0])] * 8]))
    assert perceptor.encode_image(torch.rand(2, 3, 32, 32)).norm(dim=1).tolist() == pytest.approx([1, 1])
    assert perceptor.encode_text(["a red house", "the sea"]).shape == (2, 16)
    assert perceptor.sigmoid == (pytest.approx(1 / 0.07), -10.0)
