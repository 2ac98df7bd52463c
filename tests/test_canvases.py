"""What every canvas promises: ours, and those that other installed packages add."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.toys import ToyBigGAN, ToyPerceptor, ToyVQGAN
from vqclip_nb.canvases import Canvas, make, specs
from vqclip_nb.canvases.biggan import BigGANOptions
from vqclip_nb.canvases.biggan.canvas import BigGANCanvas
from vqclip_nb.canvases.pixels import PixelsOptions
from vqclip_nb.canvases.pixels.canvas import PixelsCanvas
from vqclip_nb.canvases.siren import SirenOptions
from vqclip_nb.canvases.siren.canvas import SirenCanvas
from vqclip_nb.canvases.vqgan import VQGANOptions
from vqclip_nb.canvases.vqgan.canvas import CodebookCanvas, VQGANCanvas
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.errors import SettingsError
from vqclip_nb.objectives import Guide, Target, Term
from vqclip_nb.painting import Painting, run
from vqclip_nb.settings import Settings

CANVAS_MAKERS = {spec.name: partial(make, spec.name) for spec in specs()} | {  # other packages' too
    "vqgan": lambda **start: VQGANCanvas(ToyVQGAN(), **start),
    "codes drawn": lambda **start: CodebookCanvas(ToyVQGAN(), **start, options=VQGANOptions(codes="multinomial")),
    "pixels, 5 colours": lambda **start: PixelsCanvas(**start, options=PixelsOptions(palette=5)),
    "biggan, drawn": lambda size, **start: BigGANCanvas(
        ToyBigGAN(size), size=size, **start, options=BigGANOptions(gumbel=True)
    ),
    "biggan": lambda size, **start: BigGANCanvas(ToyBigGAN(size), size=size, **start),
    "siren": lambda **start: SirenCanvas(**start, options=SirenOptions(layers=4, hidden_size=64, w0=30)),
}
EVERY_CANVAS = pytest.mark.parametrize("new", CANVAS_MAKERS.values(), ids=CANVAS_MAKERS)


def towards(colour):
    perceptor = ToyPerceptor()
    target = Target(colour, perceptor.encode_text([colour])[None])
    return lambda settings: [Term(Guide(perceptor, Cutouts("pooling", 16, 4), [target]))]


@EVERY_CANVAS
def test_a_canvas_renders_rgb_between_0_and_1_from_its_seeds(new):
    canvas, again = (new(size=(48, 32), seeds=(3, 4)) for _ in range(2))
    image = canvas()
    assert isinstance(canvas, Canvas)
    assert image.shape == (2, 3, 32, 48)
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert torch.equal(image, again())
    assert torch.equal(image[1:], new(size=(48, 32), seeds=(4,))()), "a picture alone is the one in the batch"
    assert not torch.equal(image[0], image[1])


@EVERY_CANVAS
def test_every_canvas_turns_red(new):
    canvas = new(size=(32, 32), seeds=(0, 1))
    painting = Painting(Settings(prompt="red", steps=120, variations=2), canvas, towards("red"))
    *_, last = run(painting)
    red, green, blue = last.image.mean((2, 3)).unbind(1)
    assert (red > 0.4).all()
    assert (torch.maximum(green, blue) < red / 2).all()


@EVERY_CANVAS
def test_pictures_are_independent_and_gradients_reach_each(new):
    canvas = new(size=(32, 32), seeds=(0, 1))
    canvas()[0].square().sum().backward()
    for parameter in canvas.learnable():
        assert len(parameter) == 2
        assert parameter.grad[0].abs().sum() > 0
        assert parameter.grad[1].abs().sum() == 0


@EVERY_CANVAS
def test_start_from_shows_the_picture(new):
    tiles = torch.tensor([[-1, 0.5, 1], [0, -0.5, 0.5]]).repeat(3, 1, 1)[None].add(1).div(2)
    picture = torch.nn.functional.interpolate(tiles, scale_factor=16, mode="nearest")
    canvas = new(size=(48, 32), seeds=(0, 1))
    canvas.start_from(picture)
    assert (canvas() - picture).abs().max() < 0.01
    canvas.start_from(torch.nn.functional.interpolate(picture, scale_factor=2))
    assert (canvas() - picture).abs().mean() < 0.02, "of any size"


@EVERY_CANVAS
def test_tidying_keeps_a_picture_that_needs_none(new):
    canvas = new(size=(48, 32), seeds=(0, 1))
    before = canvas().clone()
    canvas.tidy()
    assert (canvas() - before).abs().max() < 1e-6


@EVERY_CANVAS
def test_constrain_leaves_what_is_allowed_and_bounds_what_is_not(new):
    canvas = new(size=(32, 32), seeds=(0,))
    before = canvas().clone()
    canvas.constrain()
    assert torch.equal(before, canvas())
    for parameter in canvas.learnable():
        parameter.data.mul_(1e3)
    canvas.constrain()
    image = canvas()
    assert image.isfinite().all()
    assert image.min() >= 0
    assert image.max() <= 1


@EVERY_CANVAS
def test_what_was_learned_goes_on_in_another_canvas(new):
    one, other = new(size=(32, 32), seeds=(0,)), new(size=(32, 32), seeds=(1,))
    one.remember(), other.remember()
    with torch.no_grad():
        for parameter in one.learnable():
            parameter.add_(0.1)
    other.relearn(one.learned())
    assert torch.equal(one(), other())
    assert other.drift().item() == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ValueError, match="state must hold"):
        other.relearn({})


def test_vqgan_rounds_its_size_down_and_stays_within_its_codebook():
    canvas = VQGANCanvas(ToyVQGAN(), size=(47, 20), seeds=(0,))
    assert canvas().shape == (1, 3, 16, 40)
    canvas.z.data.fill_(9)
    canvas.constrain()
    assert (canvas.z == 1).all()
    assert canvas.learnable() == [canvas.z], "the decoder is frozen"


def test_a_new_canvas_is_one_folder(tmp_path):
    """Dropped into the folder, it is a choice of Settings and is painted on; nothing else is touched."""
    import shutil

    import vqclip_nb

    package = tmp_path / "vqclip_nb"
    shutil.copytree(Path(vqclip_nb.__file__).parent, package, ignore=shutil.ignore_patterns("demo", "__pycache__"))
    shutil.copytree(package / "canvases" / "pixels", package / "canvases" / "dots")
    for file in (package / "canvases" / "dots").glob("*.py"):
        file.write_text(file.read_text().replace("canvases.pixels", "canvases.dots").replace('"pixels"', '"dots"'))
    script = (
        "from vqclip_nb.settings import Settings; from vqclip_nb.canvases import make\n"
        "print(make(Settings(canvas='dots').canvas, size=(16, 24), seeds=(0,))().shape)"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "[1, 3, 24, 16]" in process.stdout, process.stderr


def test_canvases_are_made_by_name():
    assert make("pixels", size=(32, 16), seeds=(0,))().shape == (1, 3, 16, 32)


@pytest.mark.parametrize("size", [(12, 10), (13, 9), (12, 9)])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_waves_rendered_larger_pass_through_the_painted_pixels(size, times):
    canvas = make("fourier", size=size, seeds=(0, 1))
    with torch.no_grad():
        canvas.spectrum.mul_(20)
        larger = canvas.render(size[0] * times, size[1] * times)
        torch.testing.assert_close(larger[..., ::times, ::times], canvas())
        assert canvas.render(size[0] + 1, size[1]).shape[-2:] == (size[1], size[0] + 1)


def test_a_canvas_of_one_size_says_so():
    with pytest.raises(SettingsError, match="siren and fourier"):
        make("pixels", size=(16, 16), seeds=(0,)).render(32, 32)


@pytest.mark.parametrize("sharp", [0.3, 1.0])
def test_wavelets_are_pywavelets_with_levels_weighed_as_in_aphantasia(sharp):
    import pywt

    canvas = make("wavelets", size=(80, 72), seeds=(0, 1), options={"wave": "sym4", "sharp": sharp})
    finest = canvas.details[-1].shape[-2:].numel()
    published = [(finest / detail.shape[-2:].numel()) ** (1 - sharp) for detail in canvas.details]
    details = []
    for detail, weight in zip(canvas.details, published, strict=True):
        scaled = detail.detach().double() * weight / published[0] * 2**canvas.levels  # coarsest first; in its units
        details.append(tuple(each.numpy() for each in scaled.unbind(1)))
    bands = [canvas.coarse.detach().double().numpy() * 2**canvas.levels, *details]
    waves = torch.from_numpy(pywt.waverec2(bands, "sym4"))[..., :72, :80].float()
    logits = 4 * torch.einsum("ij,njhw->nihw", canvas.colours, waves)
    torch.testing.assert_close(canvas(), logits.sigmoid(), rtol=1e-4, atol=1e-5)


def test_wavelets_without_their_package_are_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ptwt", None)
    with pytest.raises(ImportError, match=r'pip install "vqclip_nb\[wavelets\]"'):
        make("wavelets", size=(16, 16), seeds=(0,))
