"""Networks compute in half precision where that agrees with float32, and nothing else ever does."""

import warnings

import pytest
import torch

from tests.toys import ToyPerceptor, toy_models
from vqclip_nb import Settings, device
from vqclip_nb.device import FLOAT32, Precision
from vqclip_nb.errors import NotANumber, PaintWarning
from vqclip_nb.objectives import Objective, Term
from vqclip_nb.painting import run
from vqclip_nb.session import build_painting

HALVES = [Precision("bfloat16"), Precision("float16", scaled=True)]
IDS = [half.name for half in HALVES]


class Network(ToyPerceptor):
    """A toy with a layer in it, which notes what it computed in."""

    gain = 1.0

    def encode_image(self, batch):
        colour = batch.mean((2, 3)) @ (self.gain * torch.eye(3))
        self.computed_in = colour.dtype
        return super().encode_image((colour / self.gain)[:, :, None, None]).float()


def painting(monkeypatch, precision, judge, **more):
    """A painting on what says of itself that it is a GPU of this precision."""
    monkeypatch.setattr(device, "precision", lambda place, **_: precision)
    settings = {"prompt": "red", "canvas": "pixels", "size": (32, 32), "steps": 5, "cutn": 4, "device": "cpu", **more}
    with toy_models(), monkeypatch.context() as patch:
        patch.setattr("vqclip_nb.perceptors.load", lambda name: [judge])
        return build_painting(Settings(**settings))


def test_a_cpu_that_does_not_multiply_bfloat16_computes_in_float32_alone(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch, "autocast", lambda *_: pytest.fail("not on this CPU"))
    judge = Network()
    here = painting(monkeypatch, device.precision(torch.device("cpu")), judge)
    here.step()
    assert judge.computed_in == torch.float32
    assert here.canvas.precision == FLOAT32


@pytest.mark.parametrize("half", HALVES, ids=IDS)
def test_half_precision_paints_nearly_the_same_and_keeps_the_rest_in_float32(monkeypatch, half):
    judge = Network()
    right, here = (painting(monkeypatch, precision, judge) for precision in (FLOAT32, half))
    *_, expected = run(right)
    assert judge.computed_in == torch.float32
    *_, frame = run(here)
    assert judge.computed_in == getattr(torch, half.name)
    assert (frame.image - expected.image).abs().mean() < 0.02
    assert frame.image.dtype == here.canvas.pixels.dtype == here.averages.parameters[0].dtype == torch.float32
    assert {loss.dtype for loss in frame.losses.values()} == {torch.float32}


def test_the_decoder_computes_in_half_precision_too(monkeypatch):
    here = painting(monkeypatch, HALVES[0], Network(), canvas="vqgan/demo")
    layer, seen = torch.nn.Conv2d(3, 3, 1).requires_grad_(False), []
    decode = here.canvas.vqgan.decode
    here.canvas.vqgan.decode = lambda codes: seen.append(layer(codes).dtype) or decode(codes)
    here.step()
    assert {torch.float32, torch.bfloat16} == set(seen), "the comparison, and then the step"


def test_on_a_cpu_the_decoder_stays_in_float32_and_the_perceptor_need_not(monkeypatch):
    judge = Network()
    here = painting(monkeypatch, Precision("bfloat16", decoder=False), judge, canvas="vqgan/demo")
    layer, seen = torch.nn.Conv2d(3, 3, 1).requires_grad_(False), []
    decode = here.canvas.vqgan.decode
    here.canvas.vqgan.decode = lambda codes: seen.append(layer(codes).dtype) or decode(codes)
    here.step()
    assert set(seen) == {torch.float32}
    assert judge.computed_in == torch.bfloat16


@pytest.mark.parametrize("saved", [FLOAT32, HALVES[0]], ids=["float32", "bfloat16"])
def test_a_painting_taken_up_computes_as_it_did_and_does_not_choose_again(monkeypatch, saved):
    """So that it paints the pixels that it would have painted."""
    first = painting(monkeypatch, saved, Network())
    first.step()
    state = first.state_dict()
    other = painting(monkeypatch, HALVES[0], judge := Network())
    other.load_state_dict(state)
    monkeypatch.setattr(device, "settle", lambda *_: pytest.fail("it was settled"))
    other.step()
    assert judge.computed_in == getattr(torch, saved.name)
    first.step()
    assert torch.equal(first.picture(), other.picture())


@pytest.mark.parametrize("precision", [FLOAT32, Precision("bfloat16", decoder=False)], ids=["float32", "bfloat16"])
def test_the_demo_pair_paints_the_same_pixels_again(monkeypatch, precision):
    monkeypatch.setattr(device, "precision", lambda place, **_: precision)
    run_settings = Settings(prompt="a red house by the sea", size=(64, 64), cutn=4, steps=3, device="cpu")
    one, again = (list(run(build_painting(run_settings)))[-1].image for _ in range(2))
    assert torch.equal(one, again)


def test_a_first_step_that_differs_keeps_float32_and_says_so(monkeypatch):
    judge = Network()
    judge.gain = 1e6  # more than float16 can hold
    right, here = (painting(monkeypatch, precision, judge) for precision in (FLOAT32, HALVES[1]))
    with pytest.warns(
        PaintWarning, match=r"float16 .*first step \(it overflows\), so this run stays in float32"
    ) as records:
        frames = list(run(here))
    assert len(records) == 1
    assert torch.equal(frames[-1].image, list(run(right))[-1].image)
    assert judge.computed_in == torch.float32


def test_float32_that_does_not_fit_is_not_compared_with(monkeypatch):
    class Small(Network):
        def encode_image(self, batch):
            embeddings = super().encode_image(batch)
            if self.computed_in == torch.float32:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return embeddings

    here = painting(monkeypatch, HALVES[0], Small())
    assert [frame.step for frame in run(here)] == [1, 2, 3, 4, 5]
    assert here.guard.parts == 1


def test_an_overflow_in_mid_run_goes_on_in_float32(monkeypatch):
    judge = Network()
    here = painting(monkeypatch, HALVES[1], judge)
    here.step()
    judge.gain = 1e6
    with pytest.warns(PaintWarning, match="float16 overflowed at step 2: from here on float32, slower"):
        here.step()
    before = here.picture()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        here.step()
    assert not torch.equal(here.picture(), before)
    judge.gain = float("nan")
    with pytest.raises(NotANumber):
        here.step()


def test_steps_that_overflowed_before_it_was_heard_are_forgiven_with_the_first(monkeypatch):
    """On a GPU whether a step was sound is known two steps later."""
    here = painting(monkeypatch, HALVES[1], Network())
    here.step()
    late = {"red": torch.tensor([torch.nan])}
    here.guard.unchecked.extend((step, late, lambda: torch.tensor(False)) for step in (2, 3))
    with pytest.warns(PaintWarning, match="from here on float32"):
        here.step()
    assert here.canvas.precision == FLOAT32
    here.guard.unchecked.extend((step, late, lambda: torch.tensor(False)) for step in (4, 5))
    with pytest.raises(NotANumber, match="step 4"):
        here.step()
    assert not here.guard.unchecked


@pytest.mark.parametrize("slope", [1e-9, 1e3], ids=["small", "large"])
def test_gradients_that_float16_cannot_hold_neither_vanish_nor_overflow(monkeypatch, slope):
    """Each pixel of the canvas has a gradient of `slope`, which passes through float16 on its way."""
    here = painting(monkeypatch, HALVES[1], Network())

    class Steep(Objective):
        def __call__(self, image, draws, progress):
            half = getattr(torch, self.precision.name)
            return {"red": ((image.to(half) - image.detach().to(half)).float() * slope).sum((1, 2, 3))}

    here._use([Term(Steep())])
    for precision in (FLOAT32, HALVES[1]):
        _, gradient = here.guard.trial(precision, here._evaluate)
        torch.testing.assert_close(gradient, torch.full((3 * 32 * 32,), slope), rtol=1e-2, atol=0)
    assert (here.guard.scaler.get_scale() < 2**16) == (slope > 1)


def test_a_gradient_that_overflows_costs_one_step_and_no_more(monkeypatch):
    here = painting(monkeypatch, HALVES[1], Network())
    here.step()
    before, scale = here.canvas.pixels.detach().clone(), here.guard.scaler.get_scale()
    here.guard.scaler.update(2.0**100)
    here.step()
    assert torch.equal(here.canvas.pixels, before)
    here.guard.scaler.update(scale)
    here.step()
    assert not torch.equal(here.canvas.pixels, before)
    assert here.canvas.precision == HALVES[1]
