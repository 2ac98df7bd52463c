"""VQGAN: one autoencoder with a codebook, for checkpoints of all classes of taming-transformers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vqclip_nb.models.errors import BrokenWeights
from vqclip_nb.models.vqgan_config import VQGANConfig

# The parts of a checkpoint that are used; losses, discriminators, transformers and optimizers are not.
PARTS = (
    *("encoder.", "decoder.", "quant_conv.", "post_quant_conv."),
    *("quantize.embedding.", "quantize.embed.", "quantize.proj."),
)
MARKS = ("quantize.embedding.weight", "quantize.embed.weight")


class GumbelCodes(nn.Module):
    """The quantizer of a GumbelVQ: each cell takes the code with the largest logit."""

    def __init__(self, width: int, n_embed: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(width, n_embed, 1)
        self.embed = nn.Embedding(n_embed, embed_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> (n, embed_dim, h, w)"""
        return self.embed(self.proj(features).argmax(1)).movedim(-1, 1)


class VQGAN(nn.Module):
    """Taming's Encoder and Decoder around one codebook (Esser et al., 2021), frozen, float32.

    codebook: (n_embed, embed_dim), the vectors that `decode` was trained on. factor: pixels per cell of the grid, along
    each side. tidy_every: the default number of steps between re-encodings of the picture; 0: never. unexpected: the
    number of tensors in the published file that were not needed.
    The quantizer of a GumbelVQ is part of `quant_conv`, so that `encode` returns vectors in the space of the codebook.
    (For a GumbelVQ they are codes; for a VQModel they are continuous.)
    """

    codebook: Tensor

    def __init__(self, config: VQGANConfig, n_embed: int, *, gumbel: bool = False) -> None:
        from taming.modules.diffusionmodules.model import Decoder, Encoder

        super().__init__()
        z_channels = config.ddconfig["z_channels"]
        width = 2 * z_channels if config.ddconfig.get("double_z") else z_channels
        with contextlib.redirect_stdout(io.StringIO()):  # taming's Decoder prints
            self.encoder = Encoder(**config.ddconfig)
            self.decoder = Decoder(**config.ddconfig)
        self.quant_conv: nn.Module = nn.Conv2d(width, config.embed_dim, 1)
        if gumbel:
            codes = GumbelCodes(config.embed_dim, n_embed, config.embed_dim)
            self.quant_conv = nn.Sequential(self.quant_conv, codes)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, z_channels, 1)
        self.register_buffer("codebook", torch.empty(n_embed, config.embed_dim))
        self.patch_size, self.tidy_every = config.patch_size, config.tidy_every
        self.factor = self.patch_size * 2 ** (len(config.ddconfig["ch_mult"]) - 1)
        self.unexpected = 0

    def encode(self, image: Tensor) -> Tensor:
        """(n, 3, H, W) in [-1, 1] -> z before quantisation (n, embed_dim, H / factor, W / factor)"""
        return self.quant_conv(self.encoder(F.pixel_unshuffle(image, self.patch_size)))

    def decode(self, z_q: Tensor) -> Tensor:
        """Vectors of the codebook (n, embed_dim, h, w) -> image (n, 3, h * factor, w * factor), about [-1, 1]"""
        return F.pixel_shuffle(self.decoder(self.post_quant_conv(z_q)), self.patch_size)


def needed(key: str) -> str | None:
    """The name under which a checkpoint's tensor is used, or None when it is not."""
    return key if key.startswith(PARTS) else None


def build(config: VQGANConfig, state: Mapping[str, Tensor]) -> VQGAN:
    """A frozen VQGAN in eval mode from taming's keys; float32 tensors of `state` are used without a copy.

    Raises `BrokenWeights` when a tensor is missing or its shape contradicts the config.
    """
    state = {key: value.float() for key, value in state.items()}
    gumbel = "quantize.embed.weight" in state
    codebook = state.pop("quantize.embed.weight" if gumbel else "quantize.embedding.weight", None)
    if codebook is None:
        raise BrokenWeights("the file holds no codebook (quantize.embedding.weight); it is not a VQGAN's")
    if codebook.ndim != 2 or codebook.shape[1] != config.embed_dim:
        raise BrokenWeights(
            f"its codebook is {tuple(codebook.shape)} where its config asks (codes, {config.embed_dim})"
        )
    if config.n_embed not in (None, len(codebook)):
        raise BrokenWeights(f"the file holds {len(codebook)} codes where its config says {config.n_embed}")
    config.check_against(state)

    state["codebook"] = codebook
    if gumbel:
        prefixes = {"quant_conv.": "quant_conv.0.", "quantize.proj.": "quant_conv.1.proj."}
        for old, new in prefixes.items():
            state.update({new + key.removeprefix(old): state.pop(key) for key in list(state) if key.startswith(old)})
        state["quant_conv.1.embed.weight"] = codebook

    try:
        with Unfilled():
            model = VQGAN(config, len(codebook), gumbel=gumbel)
    except (LookupError, TypeError, ArithmeticError, ValueError, RuntimeError) as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise BrokenWeights(f"its config's ddconfig makes no network of taming's: {message}") from None
    model.unexpected = fill(model, state)
    return model


class Unfilled(TorchFunctionMode):
    """Inside this context modules are built without initialization; `fill` then sets their tensors.

    (On the "meta" device torch would import its compiler for some of CLIP's layers, which takes four seconds.)
    """

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name.endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if name == "randn" else func)(*args, **kwargs)


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> int:
    """Set the tensors of a model built inside `Unfilled`, and freeze it. Returns the number of unneeded tensors.

    Raises `BrokenWeights` when a tensor is missing or has another shape.
    """
    expected = model.state_dict()
    missing = [key for key in expected if key not in state]
    if missing:
        raise BrokenWeights(f"{len(missing)} of {len(expected)} tensors are missing from the file, first {missing[0]}")
    for key, value in expected.items():
        if value.shape != state[key].shape:
            actual, required = tuple(state[key].shape), tuple(value.shape)
            raise BrokenWeights(f"{key} is {actual} in the file where its config asks {required}")
    model.load_state_dict({key: state[key] for key in expected}, assign=True)
    model.eval().requires_grad_(False)
    return len(state) - len(expected)
