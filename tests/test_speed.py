"""The published networks answer alike when they compute faster, and a step's counts do not creep up."""

import copy
import threading
import weakref
from math import prod
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tests import standins
from vqclip_nb import Settings, device, models
from vqclip_nb.models import openai_clip, vqgan
from vqclip_nb.session import build_painting, start

ASKED = {"prompt": "a red house by the sea", "device": "cpu", "every": 1000, "steps": 1000}


def loaded_vqgan():
    return models.load_vqgan("demo"), torch.randn(2, 32, 24, 20)


def tiny_vqgan():
    config = vqgan.VQGANConfig.from_taming(standins.TINY_CONFIG)
    return vqgan.build(config, standins.tiny_vqgan()), torch.randn(2, 8, 16, 16)


def of_clip(clip):
    return clip.eval().requires_grad_(False).visual, torch.randn(3, 3, *[clip.visual.input_resolution] * 2)


NETWORKS = {
    "the demo VQGAN": loaded_vqgan,
    "a VQGAN with attention": tiny_vqgan,
    "the demo CLIP": lambda: of_clip(models.load_clip("demo")),
    "a ViT": lambda: of_clip(standins.tiny_clip()),
    "a ViT of several layers": lambda: of_clip(openai_clip.part("model").CLIP(16, 32, 3, 64, 16, 8, 99, 64, 1, 1)),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_quickened_network_answers_as_published_in_value_and_gradient(make):
    torch.manual_seed(0)
    network, inputs = make()
    inputs.requires_grad_()
    before = network.state_dict().keys()
    quick = models.optimize_network(copy.deepcopy(network))
    outputs = [(each.decode if hasattr(each, "decode") else each)(inputs) for each in (network, quick)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-3, atol=1e-3 * float(outputs[0].detach().abs().max()))
    pull = torch.randn_like(outputs[0])
    expected, got = (torch.autograd.grad(output, inputs, pull)[0].flatten() for output in outputs)
    assert torch.cosine_similarity(expected, got, dim=0) > 0.9999
    assert {key for key in before if "bn" not in key and "downsample" not in key} <= quick.state_dict().keys()


@pytest.mark.parametrize("name", [name for name in NETWORKS if "VQGAN" not in name])
def test_a_quickened_perceptor_in_bfloat16_points_where_the_published_one_does(name):
    torch.manual_seed(0)
    network, inputs = NETWORKS[name]()
    quick, pull = models.optimize_network(copy.deepcopy(network)), None
    gradients = []
    for each, half in ((network, False), (quick, True)):
        views = inputs.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            seen = torch.nn.functional.normalize(each(views).float(), dim=-1)
        pull = torch.randn_like(seen) if pull is None else pull
        gradients.append(torch.autograd.grad(seen, views, pull)[0].flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_attention_between_many_tokens_or_under_a_mask_is_left_to_torch():
    attention = torch.nn.MultiheadAttention(8, 2).requires_grad_(False)
    quick = models.optimize_network(copy.deepcopy(attention))
    few, many = torch.randn(5, 2, 8), torch.randn(200, 2, 8)
    mask = torch.full((5, 5), -torch.inf).triu(1)
    for inputs, more in ((few, {}), (many, {}), (few, {"attn_mask": mask})):
        expected, got = (each(inputs, inputs, inputs, need_weights=False, **more)[0] for each in (attention, quick))
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("threads", "channels", "side", "by_nnpack"), [(1, 64, 48, True), (2, 64, 48, False), (2, 128, 96, True)]
)
def test_beside_other_threads_short_convolutions_are_left_to_torch(threads, channels, side, by_nnpack):
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1).requires_grad_(False)
    quick = models.optimize_network(copy.deepcopy(conv))
    x, before = torch.randn(2, channels, side, side, requires_grad=True), torch.get_num_threads()
    expected = conv(x)
    pull = torch.randn_like(expected)
    real = torch._nnpack_spatial_convolution
    torch.set_num_threads(threads)
    try:
        with mock.patch.object(torch, "_nnpack_spatial_convolution", wraps=real) as nnpack:
            got = quick(x)
            pulls = [torch.autograd.grad(each, x, pull)[0] for each in (expected, got)]
    finally:
        torch.set_num_threads(before)
    assert nnpack.called == by_nnpack
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(pulls[1], pulls[0], rtol=1e-3, atol=1e-3)


def test_a_quickened_picture_of_a_batch_is_the_one_painted_alone():
    """Convolutions go picture by picture, so that n never changes how one rounds."""
    decoder = models.optimize_network(models.load_vqgan("demo"))
    z = 0.1 * torch.randn(3, 32, 24, 24, generator=torch.Generator().manual_seed(0))  # the codes' deviation
    torch.testing.assert_close(decoder.decode(z)[1:2], decoder.decode(z[1:2]), rtol=1e-5, atol=1e-5)


def test_a_quickened_network_can_be_copied():
    quick = models.optimize_network(models.load_vqgan("demo"))
    other = copy.deepcopy(quick)
    assert other.decoder.conv_in.forward.args[0] is other.decoder.conv_in


@pytest.fixture(scope="module")
def painting():
    """In float32 on every CPU, so that the counts are the same everywhere."""
    with mock.patch.object(device, "precision", return_value=device.FLOAT32):
        painting = build_painting(Settings(**ASKED, tidy=0))  # an encoding every few steps is counted in none
    painting.step()
    return painting


def test_the_arithmetic_of_a_step_does_not_grow(painting):
    """Measured: 17.0 GFLOP; a convolution that NNPACK makes counts as the plain one that it stands for."""

    def winograd(x, weight, *rest, out_shape=None, **more):
        return 2 * prod(weight) * x[0] * prod(out_shape[2:])

    mapping = {torch.ops.aten._nnpack_spatial_convolution: winograd}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counted:
        painting.step()
    assert 10e9 < counted.get_total_flops() < 17.3e9


class Counting(TorchDispatchMode):
    """Counts operators, and those of them that wait for the device."""

    waits = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.operators, self.waited = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operators += 1
        self.waited += func.overloadpacket.__name__ in self.waits
        return func(*args, **kwargs or {})


def test_a_step_makes_few_operators_and_waits_for_the_device_once_at_most(painting):
    """On the CPU it reads whether all is a number; on a GPU that is left to frames with a picture.

    Measured: 2003, of which each of the two perceptors takes 755 with its cutouts.
    """
    with Counting() as counted:
        painting.step()
    assert 300 < counted.operators < 2100
    assert counted.waited <= 1


class Weighing(TorchDispatchMode):
    """Follows the bytes that operators gave out and that are still held."""

    def __init__(self):
        super().__init__()
        self.held = self.most = 0
        self.followed = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given, known = func(*args, **kwargs or {}), self.followed | _memories((args, kwargs)).keys()
        for place, memory in _memories(given).items():
            if place not in known:
                self.followed.add(place)
                self.held += memory.nbytes()
                self.most = max(self.most, self.held)
                weakref.finalize(memory, self._let_go, place, memory.nbytes())
        return given

    def _let_go(self, place, size):
        self.followed.discard(place)
        self.held -= size


def _memories(tree):
    """The memory of each tensor in it, by its place: views of a tensor share one."""
    found = [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
    return {memory._cdata: memory for memory in found}


def test_a_step_holds_few_bytes_and_gives_them_back(painting):
    """Measured: 66.5 MB at most, beside the models, in what operators give out."""
    with Weighing() as weighed:
        painting.step()
    assert 50e6 < weighed.most < 68e6
    assert weighed.held == 0


def test_torch_computes_in_the_painting_thread_alone(tmp_path):
    """A second thread of torch's makes OpenMP a second pool, after which no thread waits actively for its next work."""
    active = start(Settings(**{**ASKED, "every": 1, "steps": 2, "size": (32, 32), "cutn": 2, "out": str(tmp_path)}))
    seen = set()
    real = torch.Tensor.mul

    def noted(*args):
        seen.add(threading.current_thread())
        return real(*args)

    with mock.patch.object(torch.Tensor, "mul", noted):
        for _ in active:
            active.record._writer.flush()
    active.record._writer.close()
    assert seen <= {threading.main_thread()}
    assert len(list((active.record.folder / "frames").iterdir())) == 2
