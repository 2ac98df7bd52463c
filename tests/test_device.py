"""The GPU that works is chosen; one that does not gives a sentence, and the CPU carries on."""

import pytest
import torch

from vqclip_nb import device
from vqclip_nb.errors import PaintWarning

TROUBLES = {
    "CUDA error: no kernel image is available for execution on the device": "compute capability",
    "CUDA out of memory. Tried to allocate 2.00 MiB": "memory is full",
    "The NVIDIA driver on your system is too old (found version 11040).": "update the driver",
    "Found no NVIDIA driver on your system.": "driver does not run",
    "Torch not compiled with CUDA enabled": "built without CUDA",
    "something new\nat length": "'something new'; `vqclip doctor`",
}


@pytest.fixture
def gpus(monkeypatch):
    """Machines with the GPUs that a test names; they all work until it says otherwise."""

    def here(*kinds):
        monkeypatch.setattr(device, "present", lambda asked_device: asked_device.type in (*kinds, "cpu"))
        monkeypatch.setattr(device, "trial", lambda asked_device: [])
        monkeypatch.setattr(device, "agrees", lambda asked_device: True)
        monkeypatch.setattr(torch.cuda, "init", lambda: None)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

    monkeypatch.setattr(device, "in_colab", lambda: False)
    return here


@pytest.mark.parametrize(("kinds", "best"), [(("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu")])
def test_the_best_device_is_chosen_and_can_be_overridden(gpus, kinds, best):
    gpus(*kinds)
    assert device.choose().type == best
    for kind in (*kinds, "cpu"):
        assert device.choose(kind).type == kind


@pytest.mark.parametrize("name", ["cuda", "cuda:9", "mps", "gpu", ""])
def test_a_device_that_is_not_here_is_one_line(gpus, name):
    gpus()
    with pytest.raises(ValueError, match=rf"device must be .* got {name!r}"):
        device.choose(name)


@pytest.mark.parametrize(("message", "remedy"), TROUBLES.items())
def test_an_unusable_gpu_gives_one_sentence_and_the_cpu_carries_on(gpus, monkeypatch, message, remedy):
    gpus("cuda")

    def fail(_):
        raise RuntimeError(message)

    monkeypatch.setattr(device, "trial", fail)
    with pytest.warns(PaintWarning, match=f"the GPU .* is not used: .*{remedy}.*The CPU carries on") as warned:
        assert device.choose().type == "cpu"
    assert "\n" not in str(warned[0].message)


def test_mps_is_used_only_if_it_computes_as_the_cpu_does(gpus, monkeypatch):
    gpus("mps")
    monkeypatch.setattr(device, "agrees", lambda _: False)
    with pytest.warns(PaintWarning, match="differ from the CPU's"):
        assert device.choose().type == "cpu"


def test_the_probe_sees_a_wrong_pool_and_a_wrong_gradient():
    cpu = torch.device("cpu")
    assert device.agrees(cpu)
    for wrong in range(4):  # three pooled views and the gradient
        answers = [device.trial(cpu), device.trial(cpu)]
        answers[1][wrong] = answers[1][wrong] + 0.01
        assert not device.agrees(cpu, lambda _, answers=answers: answers.pop(0))


def test_colab_without_a_gpu_says_how_to_get_one(gpus, monkeypatch):
    gpus()
    monkeypatch.setattr(device, "in_colab", lambda: True)
    with pytest.warns(PaintWarning, match="Change runtime type"):
        device.choose()
    device.choose("cpu")  # chosen on purpose: nothing to say


@pytest.mark.parametrize(
    ("capability", "name", "scaled"),
    [((9, 0), "bfloat16", False), ((7, 5), "float16", True), ((6, 1), "float32", False)],
)
def test_the_precision_fits_the_gpu(monkeypatch, capability, name, scaled):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    preferred = device.precision(torch.device("cuda"))
    assert (preferred.name, preferred.scaled) == (name, scaled)


@pytest.mark.parametrize(("multiplies", "name"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_has_its_perceptor_alone_in_bfloat16_where_it_multiplies_it(monkeypatch, multiplies, name):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplies, raising=False)
    preferred = device.precision(torch.device("cpu"))
    assert (preferred.name, preferred.scaled) == (name, False)
    assert device.precision(torch.device("cpu"), side=64).name == "float32", "small views gain nothing"
    assert torch.is_autocast_enabled("cpu") is False
    with preferred.within(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu") == multiplies
    with preferred.rendering(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")  # a torch that cannot say
    assert device.precision(torch.device("cpu")) == device.FLOAT32


@pytest.mark.parametrize(
    ("factor", "saved", "message"),
    [(1.001, "float16", None), (float("inf"), "float32", "overflows"), (-1, "float32", "cosine is -1.000")],
)
def test_half_precision_is_kept_only_if_its_first_step_agrees(factor, saved, message):
    gradient = torch.linspace(-1, 1, 100)

    def step(precision):
        return torch.ones(2), gradient * (factor if precision.name == "float16" else 1)

    precision, sentence = device.settle(device.Precision("float16", scaled=True), step)
    assert precision.name == saved
    assert (message is None and sentence is None) or message in sentence
