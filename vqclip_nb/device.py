"""Devices: the processor that paints, and the precision it computes in."""

from __future__ import annotations

import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vqclip_nb.errors import PaintWarning
from vqclip_nb.gpu.device_errors import NO_GPU_IN_COLAB, TROUBLES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ORDER = ("cuda", "mps", "cpu")


@dataclass(frozen=True)
class Precision:
    """The number format of perceptor and decoder. z, losses and optimizer stay float32 in all of them."""

    name: str  # float32, bfloat16 or float16
    decoder: bool = True  # whether the canvas's network computes in it too, or stays float32
    scaled: bool = False  # whether gradients must be scaled, so that small ones survive
    why: str = field(default="", compare=False)

    def within(self, device: torch.device) -> AbstractContextManager[Any]:
        """The context in which a network computes in this precision; its weights and inputs stay float32."""
        import torch

        if self == FLOAT32:
            return nullcontext()
        return torch.autocast(device.type, getattr(torch, self.name), cache_enabled=False)

    def rendering(self, device: torch.device) -> AbstractContextManager[Any]:
        """The context in which a canvas's network computes."""
        return self.within(device) if self.decoder else nullcontext()


FLOAT32 = Precision("float32")


def choose(name: str = "auto") -> torch.device:
    """The device to paint on: CUDA, Apple's MPS or the CPU, in that order, or the one that is named.

    If a GPU is present but unusable, a `PaintWarning` gives the remedy and the CPU is used. Raises `ValueError` when
    this machine has no such device.
    """
    import torch

    if name == "auto":
        candidates = [torch.device(kind) for kind in ORDER if kind == "cpu" or present(torch.device(kind))]
    else:
        try:
            candidates = [torch.device(name)]
        except RuntimeError:
            raise ValueError(f"device must be auto, {', '.join(ORDER)} or cuda:0, got {name!r}") from None
        if candidates[0].type not in ORDER or not present(candidates[0]):
            names = [kind for kind in ORDER if present(torch.device(kind))]
            raise ValueError(f"device must be one that is here ({', '.join(names)}) or auto, got {name!r}")

    for device in candidates:
        if device.type == "cpu":
            break
        if (trouble := unusable(device)) is None:
            return device
        warnings.warn(f"the GPU ({device}) is not used: {trouble}. The CPU carries on", PaintWarning, stacklevel=2)
    if name == "auto" and candidates[0].type == "cpu" and in_colab():
        warnings.warn(NO_GPU_IN_COLAB, PaintWarning, stacklevel=2)
    return torch.device("cpu")


def present(device: torch.device) -> bool:
    """Whether the machine has this device, usable or not."""
    import torch

    if device.type == "cuda":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an old driver; `unusable` reports it with the remedy
            count = torch.cuda.device_count()
        return (device.index or 0) < count or (device.index is None and shutil.which("nvidia-smi") is not None)
    if device.type == "mps":
        return torch.backends.mps.is_built() and sys.platform == "darwin"
    return device.type == "cpu" and not device.index


def unusable(device: torch.device) -> str | None:
    """Why a GPU cannot be used, with the remedy, or None. Runs a small trial; on MPS it is compared with the CPU."""
    import torch

    if device.type == "mps" and not torch.backends.mps.is_available():
        return "MPS needs macOS 14 or newer; update it"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an old driver is only a warning there
            if device.type == "cuda":
                torch.cuda.init()
        trial(device)
    except (RuntimeError, AssertionError, Warning) as error:
        message = str(error)
        remedies = (remedy for pattern, remedy in TROUBLES.items() if re.search(pattern, message, re.I | re.S))
        return next(remedies, f"torch says {message.strip().splitlines()[0]!r}; `vqclip doctor` shows its versions")
    if device.type == "mps" and not agrees(device):
        return "its pooling or gradients differ from the CPU's in this PyTorch; update PyTorch"
    return None


def trial(device: torch.device) -> list[Tensor]:
    """A small version of what painting computes: uneven pooling, convolution, resizing, and their gradients."""
    import torch
    from torch.nn import functional as F

    with torch.enable_grad():
        image = torch.linspace(-1, 1, 2 * 3 * 45 * 38).view(2, 3, 45, 38).sin().to(device).requires_grad_()
        kernel = torch.linspace(-1, 1, 8 * 3 * 9, device=device).view(8, 3, 3, 3)
        features = F.group_norm(F.conv2d(image, kernel, padding=1), 4)
        views = [F.adaptive_max_pool2d(features, 7), F.adaptive_avg_pool2d(features, 7)]
        views.append(F.interpolate(features, (64, 64), mode="bilinear").flatten(2).softmax(-1)[:, :, :49])
        total = torch.stack([view.flatten(1).pow(2).sum() for view in views]).sum()
        (gradient,) = torch.autograd.grad(total, image)
    return [tensor.detach().cpu() for tensor in (*views, gradient)]


def agrees(device: torch.device, work: Callable[[torch.device], list[Tensor]] = trial) -> bool:
    """Whether a device gives the CPU's results (adaptive max pooling on MPS did not, pytorch#190064)."""
    import torch

    pairs = zip(work(torch.device("cpu")), work(device), strict=True)
    return all(torch.allclose(reference, result, rtol=1e-3, atol=1e-4) for reference, result in pairs)


def precision(device: torch.device, *, side: int = 224) -> Precision:
    """The precision to try on a device; `settle` compares its first step with float32.

    `side` is the side of the perceptor's views: on a CPU, small views such as the demo's gain nothing by half
    precision.
    """
    import torch

    if device.type == "cpu" and side >= 128 and getattr(torch.cpu, "_is_avx512_bf16_supported", bool)():
        why = "this processor multiplies bfloat16 twice as fast; the decoder stays float32, as fast there"
        return Precision("bfloat16", decoder=False, why=why)
    if device.type != "cuda":
        return Precision("float32", why=f"{device.type} paints in float32")
    major, minor = torch.cuda.get_device_capability(device)
    if major >= 8:
        return Precision("bfloat16", why=f"compute capability {major}.{minor} has bfloat16")
    if major == 7:
        return Precision("float16", scaled=True, why=f"compute capability {major}.{minor} has no bfloat16")
    return Precision("float32", why=f"compute capability {major}.{minor} is slow in half precision")


def settle(precision: Precision, step: Callable[[Precision], tuple[Tensor, Tensor]]) -> tuple[Precision, str | None]:
    """Compare the first step in half precision with float32; return the precision to keep, and why if it is float32.

    `step` computes the losses and the (unscaled) gradient of the first step in a precision, without changing anything.
    """
    import torch

    if precision == FLOAT32:
        return precision, None
    (right_losses, right), (losses, gradient) = step(FLOAT32), step(precision)
    right, gradient = right.flatten().float(), gradient.flatten().float()
    finite = bool(torch.isfinite(gradient).all() and torch.isfinite(losses).all())
    cosine = torch.nn.functional.cosine_similarity(right, gradient, dim=0).item() if finite else float("nan")
    near = torch.allclose(losses.float(), right_losses.float(), rtol=0.02, atol=0.01)
    if finite and near and cosine > 0.95:  # for comparison: two steps with different cutouts have 0.4
        return precision, None
    how = f"the gradient's cosine is {cosine:.3f}" if finite else "it overflows"
    sentence = f"{precision.name} differs from float32 in the first step ({how}), so this run stays in float32, slower"
    return Precision("float32", why=sentence), sentence


def in_colab() -> bool:
    """Whether this is a Google Colab runtime."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ
