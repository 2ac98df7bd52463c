"""The demo pair, end to end: it travels in the package, knows its words, and paints what was asked."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import world
from judge import OF_THINGS, load_judge
from PIL import Image
from scenes import Scene, all_words, caption
from scenes import paint as draw
from things import Thing

from vqclip_nb import Settings, paint
from vqclip_nb.errors import PaintWarning

ASKED = (
    Scene(shape="circle", colour="red", background="blue"),
    Scene(place="sea", time="night", main="boat", main_colour="orange"),
)
OTHERS = (
    Scene(shape="square", colour="red", background="blue"),
    Scene(shape="circle", colour="blue", background="red"),
    Scene(shape="star", colour="yellow", background="green"),
    Scene(place="sea", time="day", main="boat", main_colour="orange"),
    Scene(place="forest", time="night", main="castle"),
    Scene(place="desert", time="sunset", main="tree", style="pencil"),
)


@pytest.mark.parametrize("scene", ASKED, ids=caption)
def test_a_painting_is_judged_to_show_its_prompt(scene):
    frames = list(paint(Settings(prompt=caption(scene), steps=80)))
    candidates = (*ASKED, *OTHERS)
    scores = load_judge().scores(frames[-1].image, candidates)[0]
    assert candidates[int(scores.argmax())] == scene
    assert frames[-1].loss < frames[0].loss


def test_a_painting_of_a_drawn_thing_is_judged_to_show_it():
    rocket = Thing("rocket", background="black")
    others = [replace(rocket, noun=noun) for noun in ("cat", "violin", "apple", "pyramid", "whale")]
    candidates = [rocket, *others, replace(rocket, background="white")]
    *_, last = paint(Settings(prompt="a rocket on a black background", steps=30))
    scores = load_judge(OF_THINGS).scores(last.image, candidates)[0]
    assert candidates[int(scores.argmax())] == rocket


def test_the_perceptor_of_drawn_things_knows_all_words_of_its_world():
    from vqclip_nb import perceptors

    (things,) = perceptors.load("demo-things")
    assert things.unknown_words(" ".join(sorted(world.all_words()))) == []


def test_the_demo_pair_knows_its_words_and_names_those_it_does_not():
    from vqclip_nb import perceptors

    first, second = perceptors.load("demo")
    for demo in (first, second):
        assert demo.unknown_words(" ".join(sorted(all_words()))) == []
    with pytest.warns(PaintWarning, match="does not know: dragon"):
        first.encode_text(["a red dragon"])
    with warnings.catch_warnings(action="error"):  # said once is enough
        second.encode_text(["a red dragon"])


def test_a_picture_without_words_is_painted_towards(tmp_path):
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "blue.png")
    run_settings = Settings(
        prompt="", image_prompts=(str(tmp_path / "blue.png"),), size=(32, 32), cutn=2, steps=1, device="cpu"
    )
    (frame,) = paint(run_settings)
    assert frame.losses.keys() == {"picture 1", "smoothness"}


def test_tidying_clears_speckle_and_keeps_a_scene():
    from vqclip_nb import canvases

    def rough(image):
        return image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean()

    canvas = canvases.make("vqgan/demo", size=(192, 192), seeds=(0,))
    with torch.no_grad():
        canvas.z += 0.15 * torch.randn(canvas.z.shape, generator=torch.Generator().manual_seed(0))
        speckled = rough(canvas())
        canvas.tidy()
        assert rough(canvas()) < 0.65 * speckled

        drawn = torch.from_numpy(draw(ASKED[1], np.random.default_rng(0), 192).copy())
        scene = drawn.permute(2, 0, 1)[None].float() / 255
        canvas.start_from(scene)
        canvas.tidy()
        assert (canvas() - scene).square().mean() < 10**-2.4  # 24 dB


def test_all_demo_weights_are_at_most_40_mb():
    import vqclip_nb

    shipped = (Path(vqclip_nb.__file__).parent / "models" / "demo").glob("*")
    assert 1e6 < sum(path.stat().st_size for path in shipped) < 40e6


def test_the_codebook_and_grid_are_of_the_promised_size():
    from vqclip_nb.models import load_vqgan

    vqgan = load_vqgan("demo")
    assert len(vqgan.codebook) >= 512
    assert vqgan.factor in (8, 16)
    with torch.no_grad():
        assert vqgan.decode(vqgan.encode(torch.zeros(1, 3, 64, 96))).shape == (1, 3, 64, 96)
