"""Memory that runs out never costs the picture: smaller parts first, then a thrifty canvas, then a sentence."""

from types import SimpleNamespace

import pytest
import torch

from tests.toys import ToyPerceptor, toy_models
from vqclip_nb import Settings, device, oom, session
from vqclip_nb.canvases.vqgan.canvas import VQGANCanvas
from vqclip_nb.cli._common import describe_memory
from vqclip_nb.errors import PaintWarning
from vqclip_nb.models.vqgan import VQGAN, VQGANConfig
from vqclip_nb.painting import run
from vqclip_nb.rng import Draws
from vqclip_nb.session import build_painting

TINY = {
    **{"double_z": False, "z_channels": 8, "resolution": 16, "in_channels": 3, "out_ch": 3, "ch": 32},
    **{"ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [8], "dropout": 0.0},
}


@pytest.fixture(autouse=True)
def toys():
    with toy_models():
        yield


def settings(**more):
    values = {"prompt": "red | blue:-0.2", "size": (32, 32), "steps": 5, "cutn": 6, "device": "cpu", "variations": 2}
    return Settings(**{**values, "canvas": "pixels", **more})


def gradients(canvas, judge):
    """What one step would follow."""
    sum(loss.sum() for loss in judge(canvas(), Draws((5, 6), step=3), 0.5).values()).backward()
    grad = canvas.learnable()[0].grad.flatten()
    canvas.zero_grad()
    return grad


@pytest.mark.parametrize("cutouts", ["pooling", "crops"])
@pytest.mark.parametrize("parts", [2, 5, 12])
def test_cutouts_in_parts_give_the_same_gradients(cutouts, parts):
    painting = build_painting(settings(cutouts=cutouts, smoothness=0))
    (judge,) = [term.objective for term in painting.terms]
    whole = gradients(painting.canvas, judge)
    judge.parts = parts
    assert torch.cosine_similarity(gradients(painting.canvas, judge), whole, dim=0) > 0.99999


def test_a_decoder_that_computes_again_gives_the_same_gradients_and_keeps_less():
    torch.manual_seed(0)
    vqgan = VQGAN(VQGANConfig(TINY, 8), 16)
    vqgan.codebook.normal_()
    canvas = VQGANCanvas(vqgan, size=(32, 32), seeds=(5, 6))

    def judge(image, draws, progress):
        return {"red": image.square().mean((1, 2, 3))}

    def kept(work):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            work()
        return sum(sizes)

    whole, before = gradients(canvas, judge), kept(canvas)
    assert canvas.save_memory()
    assert torch.cosine_similarity(gradients(canvas, judge), whole, dim=0) > 0.99999
    assert kept(canvas) < before / 2
    assert not canvas.save_memory(), "there is nothing more to save"


def test_memory_that_runs_out_in_mid_run_is_saved_and_the_picture_is_the_same():
    class Small(ToyPerceptor):
        most = 12

        def encode_image(self, batch):
            if len(batch) > self.most:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().encode_image(batch)

    *_, whole = run(build_painting(settings()))
    painting = build_painting(settings())
    painting.terms[0].objective.perceptor = small = Small()
    painting.step()
    small.most = 4
    with pytest.warns(PaintWarning) as records:
        *_, last = run(painting)
    assert [str(warning.message) for warning in records] == [
        f"memory ran out at step 2: from here on the cutouts are processed in {parts} parts, slower" for parts in (2, 4)
    ]
    torch.testing.assert_close(last.image, whole.image, atol=0.02, rtol=0)

    again = build_painting(settings(), state=painting.state_dict())
    assert (again.guard.parts, again.terms[0].objective.parts) == (4, 4)


def test_when_nothing_is_left_to_save_it_stops_with_the_remedy_and_the_state(capsys, tmp_path, monkeypatch):
    from vqclip_nb import cli
    from vqclip_nb.canvases.pixels.canvas import PixelsCanvas

    rungs = iter([True, False])
    monkeypatch.setattr(device, "precision", lambda place, **_: device.FLOAT32)  # no first step is tried in two
    monkeypatch.setattr(PixelsCanvas, "save_memory", lambda canvas: next(rungs))
    monkeypatch.setattr(ToyPerceptor, "encode_image", failing_after(ToyPerceptor.encode_image, 2))
    words = ["paint", "red", "--canvas", "pixels", "--size", "32", "24", "--cutn", "4", "--device", "cpu"]
    assert cli.main([*words, "--out", str(tmp_path), "--quiet"]) == 1
    output = capsys.readouterr()
    assert "the picture is rendered piece by piece, slower" in output.err
    assert "stopped: memory ran out at step 3 with all savings made; paint smaller than --size 32 24" in output.err
    (folder,) = tmp_path.iterdir()
    assert f"`vqclip resume {folder}` continues from here" in output.err
    monkeypatch.undo()
    with toy_models():
        assert session.resume(folder).painting.step_count == 2


def test_where_the_canvas_was_too_large_the_cutouts_are_judged_at_once_again(monkeypatch):
    painting = build_painting(settings(canvas="vqgan/toy"))
    judged = painting._evaluate
    monkeypatch.setattr(painting.canvas, "save_memory", lambda: setattr(painting.canvas, "thrifty", True) or True)
    monkeypatch.setattr(painting, "_evaluate", lambda: judged() if painting.canvas.thrifty else fail())
    with pytest.warns(PaintWarning) as records:
        painting.step()
    assert "piece by piece" in str(records[-1].message)
    assert (painting.guard.parts, painting.terms[0].objective.parts) == (1, 1)


def fail():
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def test_a_picture_that_cannot_be_tidied_is_painted_on_as_it_is(monkeypatch):
    *_, whole = run(build_painting(settings(canvas="vqgan/toy", average=0.5, tidy=0)))
    painting = build_painting(settings(canvas="vqgan/toy", average=0.5, tidy=2))
    monkeypatch.setattr(painting.canvas, "tidy", fail)
    with pytest.warns(PaintWarning) as records:
        *_, last = run(painting)
    assert str(records[0].message).startswith("memory is not enough to tidy the picture at step 2")
    assert torch.equal(last.image, whole.image)
    monkeypatch.setattr(painting.canvas, "tidy", lambda: 1 / 0)
    kept = [parameter.clone() for parameter in painting.learnable]
    with pytest.raises(ZeroDivisionError):
        painting.picture()
    assert all(map(torch.equal, kept, painting.learnable)), "the average was shown, not painted with"


def failing_after(encode, calls):
    """A perceptor that sees so many times; then memory is gone for good."""
    left = iter(range(calls))

    def failing(self, batch):
        if next(left, None) is None:
            raise MemoryError
        return encode(self, batch)

    return failing


def test_another_error_is_not_taken_for_memory():
    painting = build_painting(settings())
    painting.terms[0].objective.perceptor.encode_image = lambda batch: (_ for _ in ()).throw(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        painting.step()
    for message in (
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ):
        assert oom.ran_out(RuntimeError(message))


def test_before_a_run_on_a_gpu_it_is_tried_and_said_what_fits(monkeypatch):
    def painting(asked, room):
        peak = asked.size[0] * asked.size[1] * 1e4
        return SimpleNamespace(device=torch.device("cuda"), settings=asked, peak=lambda: peak if peak < room else None)

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8e9, 16e9))
    monkeypatch.setattr(session, "build_painting", lambda asked: painting(asked, 8e9))
    message = describe_memory(painting(settings(size=(400, 400)), 8e9))
    assert message == "A step takes 1.6 GB of GPU memory, and 8.0 GB are free"
    with pytest.warns(PaintWarning, match=r"1024 x 1024 needs more than the 8.0 GB .*: --size 768 768 fits"):
        describe_memory(painting(settings(size=(1024, 1024)), 8e9))
    assert describe_memory(build_painting(settings())) is None, "nothing is measured on a CPU"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_that_is_full_goes_on_in_parts():
    run_settings = settings(device="cuda", size=(1024, 1024), cutn=64)
    painting = build_painting(run_settings)
    needed = painting.peak()
    torch.cuda.set_per_process_memory_fraction(0.7 * needed / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.warns(PaintWarning, match="memory ran out at step 1"):
            painting.step()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
