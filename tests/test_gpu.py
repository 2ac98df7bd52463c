"""What holds on a GPU alone. `pytest tests/test_gpu.py` runs it where there is one."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests import standins
from vqclip_nb import Settings, device, gpu, models
from vqclip_nb.device import FLOAT32
from vqclip_nb.errors import PaintWarning
from vqclip_nb.gpu import cuda_graphs
from vqclip_nb.models import vqgan
from vqclip_nb.objectives import Term
from vqclip_nb.painting import run
from vqclip_nb.session import build_painting
from vqclip_nb.timeline import Edit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
LIMITS = Path(__file__).resolve().parents[1] / "benchmarks" / "limits.py"
ASKED = {"prompt": "a red house by the sea", "device": "cuda", "steps": 12, "size": (128, 128), "cutn": 8}


def test_the_kernels_run_here():
    assert gpu.usable(torch.zeros(1, device="cuda"))


@pytest.mark.parametrize("method", ["pooling", "pooling-published", "crops"])
def test_every_kind_of_cutouts_paints(method):
    frames = list(run(build_painting(Settings(**ASKED, cutouts=method, variations=2))))
    assert frames[-1].loss < frames[0].loss


def test_the_same_settings_paint_the_same_pixels():
    one, again = (list(run(build_painting(Settings(**ASKED))))[-1].image for _ in range(2))
    assert torch.equal(one, again)


def test_a_painting_taken_up_paints_the_pixels_that_it_would_have_painted():
    whole, first = build_painting(Settings(**ASKED)), build_painting(Settings(**ASKED))
    *_, expected = run(whole)
    list(run(first, until=5))
    other = build_painting(Settings(**ASKED), state=first.state_dict())
    *_, frame = run(other)
    assert torch.equal(frame.image, expected.image)


def test_half_precision_paints_as_float32_does():
    painting = build_painting(Settings(**ASKED))
    painting.step()
    half = painting.canvas.precision
    assert half != FLOAT32
    pictures, gradients = [], []
    for precision in (FLOAT32, half):
        gradients.append(painting.guard.trial(precision, painting._evaluate)[1].float())
        with torch.no_grad():
            pictures.append(painting.canvas().clone())
    assert (pictures[0] - pictures[1]).square().mean().log10() * -10 > 38
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_changes_and_a_pick_between_two_steps_are_painted_on():
    painting = build_painting(Settings(**ASKED, variations=3))
    list(run(painting, until=3))
    painting.apply(Edit({"prompt": "a green tree"}))
    list(run(painting, until=6))
    painting.apply(Edit({"cutn": 4}, variation=2))
    *_, last = run(painting)
    assert last.image.shape == (1, 3, 128, 128)
    assert last.image.isfinite().all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_network_with_attention_is_decoded_and_drawn_back_as_in_float32(precision):
    torch.manual_seed(0)
    config = vqgan.VQGANConfig.from_taming(standins.TINY_CONFIG)
    network = models.optimize_network(vqgan.build(config, standins.tiny_vqgan())).cuda()
    z = torch.randn(2, 8, 16, 16, device="cuda", requires_grad=True)
    half, results = device.Precision(precision), []
    for kind in (FLOAT32, half):
        with kind.within(z.device):
            image = network.decode(z).float()
        results.append((image, torch.autograd.grad(image, z, torch.ones_like(image))[0]))
    for right, here in zip(*results, strict=True):
        assert (right - here).norm() / right.norm() < 0.05


def test_what_is_replayed_is_what_was_recorded():
    network = models.optimize_network(models.load_vqgan("demo")).cuda()
    ours = device.Precision("bfloat16").within(torch.device("cuda"))
    for _ in range(2):
        z = torch.randn(1, 32, 16, 16, device="cuda", requires_grad=True)
        with ours:
            plain, replayed = network.decode(z), cuda_graphs.replay(network.decode, z)
        assert torch.equal(plain, replayed)
        pull = torch.randn_like(plain)
        right = torch.autograd.grad(plain, z, pull)[0]
        assert torch.equal(torch.autograd.grad(replayed, z, pull)[0], right)
    cuda_graphs.forget()


def test_a_process_s_first_gradient_in_half_precision_is_a_number():
    """cuBLAS's workspaces are taken before a graph is recorded: seen at 512², in a process's first painting alone."""
    words = [sys.executable, str(LIMITS), "--alone", "512", "--json", os.devnull]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    assert (found["precision"], found["finite"], found["warned"]) == ("bfloat16", True, [])


def test_where_memory_runs_out_it_paints_with_less():
    painting = build_painting(Settings(**ASKED))
    full = mock.patch(
        "vqclip_nb.canvases.vqgan.canvas.replay", side_effect=torch.cuda.OutOfMemoryError("out of memory")
    )
    with full, warnings.catch_warnings():
        warnings.simplefilter("ignore", PaintWarning)
        *_, last = run(painting)
    assert painting.guard.parts == 8
    assert painting.canvas.thrifty
    assert last.image.isfinite().all()


def test_a_loss_that_is_not_a_number_is_heard_a_little_later():
    painting = build_painting(Settings(**ASKED))
    list(run(painting, until=3))
    broken = mock.Mock(side_effect=lambda image, *_: {"broken": image.mean((1, 2, 3)) * torch.nan})
    painting._use([Term(broken)])
    with pytest.warns(PaintWarning, match="from here on float32"), pytest.raises(Exception, match="broken is not a n"):
        list(run(painting))
    assert painting.canvas.z.isfinite().all()


def test_keyframes_record_no_graph_anew_but_for_cutouts_that_record_none():
    """Numbers that change from step to step reach it as tensors on the device."""
    plain = {"lr": 0.1, "smoothness": 1.0, "prompt": "a red house by the sea:0.5"}
    moving = {
        "lr": "0:(0.1), 9:(0.02)",
        "smoothness": "0:(0), 9:(5)",
        "prompt": "a red house by the sea:0:(1), 9:(0.1)",
    }
    recorded = []
    for more in (plain, moving, {"cutn": "0:(4), 9:(12)"}):
        painting = build_painting(Settings(**ASKED | more))
        with mock.patch.object(torch.cuda, "make_graphed_callables", wraps=torch.cuda.make_graphed_callables) as record:
            *_, last = run(painting)
        assert last.image.isfinite().all()
        recorded.append(record.call_count)
    assert recorded[0] == recorded[1] > recorded[2] > 0, "with cutouts that change, the decoder's alone"


def test_a_picture_replaced_in_mid_run_is_painted_on():
    painting = build_painting(Settings(**ASKED))
    list(run(painting, until=3))
    painting.replace_image(torch.rand(1, 3, 100, 90))
    state = painting.state_dict()
    *_, expected = run(painting)
    *_, resumed = run(build_painting(Settings(**ASKED), state=state))
    assert torch.equal(resumed.image, expected.image)
