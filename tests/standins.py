"""Stand-ins: files shaped as the published ones are, with random weights, small or in full size."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vqclip_nb.models import catalog, openai_clip, user_models

LIGHTNING = "pytorch_lightning.callbacks.model_checkpoint"
TINY_DDCONFIG = {
    "double_z": False,
    "z_channels": 16,
    "resolution": 32,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [16],
    "dropout": 0.0,
}
TINY_CONFIG = {
    "target": "taming.models.vqgan.VQModel",
    "params": {"embed_dim": 8, "n_embed": 32, "ddconfig": TINY_DDCONFIG, "lossconfig": {"target": "never.Built"}},
}


def entered(name: str, weights: str) -> catalog.Entry:
    """The entry of a tiny VQGAN of one's own, whose file was not fetched yet."""
    entry = user_models.new_entry("vqgan", name, weights, TINY_CONFIG)
    catalog.save(entry)
    return entry


def tiny_vqgan(*, gumbel: bool = False) -> dict[str, Tensor]:
    """The state dict of a small VQModel or GumbelVQ, random, under taming's keys."""
    from taming.modules.diffusionmodules.model import Decoder, Encoder

    parts: dict[str, nn.Module] = {
        "encoder": Encoder(**TINY_DDCONFIG),
        "decoder": Decoder(**TINY_DDCONFIG),
        "quant_conv": nn.Conv2d(16, 8, 1),
        "post_quant_conv": nn.Conv2d(8, 16, 1),
    }
    if gumbel:
        parts |= {"quantize.proj": nn.Conv2d(8, 32, 1), "quantize.embed": nn.Embedding(32, 8)}
    else:
        parts["quantize.embedding"] = nn.Embedding(32, 8)
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


def tiny_clip(*, resnet: bool = False) -> Any:
    """A small openai-clip network with a real vocabulary, at 32 or 64 pixels."""
    vision = ((1, 1, 1, 1), 16, None) if resnet else (1, 64, 16)
    return openai_clip.part("model").CLIP(32, 64 if resnet else 32, *vision, 16, 49408, 64, 1, 1).eval()


def listed(keys: Path, *, device: str = "cpu") -> dict[str, Tensor]:
    """Tensors for a list of keys and shapes, one `key (shape) dtype` a line; random ones on the CPU."""
    state = {}
    for line in keys.read_text().splitlines():
        key, shape, dtype = line.split("\t")
        size = tuple(int(side) for side in shape.strip("()").split(",") if side)
        kind = getattr(torch, dtype)
        state[key] = torch.empty(size, dtype=kind, device=device)
        if device == "cpu":
            state[key].copy_(torch.randn(size) * 0.02)
    return state


def save_lightning(
    path: Path, state: Mapping[str, Tensor], *, zipped: bool = True, trained: tuple[str, ...] = ("",), **extra: Any
) -> None:
    """Write what Lightning 1.0.8 did: a callback's class as a dictionary key, and Adam's moments of what it trained."""
    moments = {
        i: {"step": 1, "exp_avg": value.clone(), "exp_avg_sq": value.clone()}
        for i, value in enumerate(value for key, value in state.items() if key.startswith(trained))
    }
    with lightning_class() as callback:
        checkpoint = {
            "epoch": 1,
            "global_step": 2,
            "pytorch-lightning_version": "1.0.8",
            "callbacks": {callback: {"best_model_score": torch.tensor(0.5), "best_model_path": "last.ckpt"}},
            "optimizer_states": [{"state": moments, "param_groups": []}],
            "lr_schedulers": [],
            "state_dict": dict(state),
            **extra,
        }
        torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)


@contextlib.contextmanager
def lightning_class() -> Iterator[type]:
    """Lightning's callback class, importable while a file is written and gone again when it is read."""
    callback = type("ModelCheckpoint", (), {"__module__": LIGHTNING})
    names = [LIGHTNING.rsplit(".", depth)[0] for depth in (2, 1)] + [LIGHTNING]
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: types.ModuleType(name) for name in names})
    vars(sys.modules[LIGHTNING])["ModelCheckpoint"] = callback
    try:
        yield callback
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def save_torchscript(path: Path, clip: Any) -> None:
    """Write a CLIP as OpenAI did: traced, in fp16, with three tensors of metadata."""
    import copy
    import warnings

    clip = copy.deepcopy(clip)
    for name, value in {
        "input_resolution": clip.visual.input_resolution,
        "context_length": clip.context_length,
    }.items():
        clip.__dict__.pop(name, None)
        clip.register_buffer(name, torch.tensor(value))
    side, length = int(clip.input_resolution), int(clip.context_length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and CLIP's files are traced
        traced = torch.jit.trace(
            clip, (torch.rand(1, 3, side, side), torch.zeros(1, length, dtype=torch.long)), check_trace=False
        )
        torch.jit.save(traced.half(), str(path))
