"""Optimize: computes the published networks faster, with the same weights and, except for rounding, results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip_nb import gpu

_WIDE = 64  # channels; Winograd transforms do not help narrower convolutions
_LONG = 2**27  # positions x channels x channels; below it, NNPACK's spinning threads slow down OpenMP's
_FEW = 128  # tokens; above it, the attention weights need too much memory
_ON_A_GPU = {"Upsample", "Linear", "NonDynamicallyQuantizableLinear", "LayerNorm", "Transformer"}  # and all in WAYS


def optimize_network(network: Any) -> Any:
    """Replace the forward methods of a frozen network's modules; weights, names and types stay. Returns the network."""
    for module in network.modules():
        _fold_norms(module)
        if (kind := type(module).__name__) in WAYS.keys() | _ON_A_GPU:
            module.forward = partial(_compute, module, WAYS.get(kind, type(module).forward))
        if type(module).__name__ == "VisionTransformer":
            last = module.transformer.resblocks[-1]
            last.forward = partial(_class_token_alone, last)
        if type(module).__name__ == "ModifiedResNet":  # its narrow convolutions are 20 % faster in this layout
            module.to(memory_format=torch.channels_last)
    return network


def _compute(module: Any, way: Callable[..., Any], x: Tensor, *others: Any, **more: Any) -> Any:
    """Compute with the GPU's kernels if they can be used, or else with `way`."""
    if kernels := gpu.kernels(x):
        way = kernels.WAYS.get(type(module).__name__, way)
    return way(module, x, *others, **more)


class _ThreeByThree(torch.autograd.Function):
    """A 3 x 3 convolution with frozen weights; nothing is stored for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, conv: nn.Conv2d) -> Tensor:
        ctx.conv = conv
        return _by_winograd(x, conv.weight, conv.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        if not hasattr(ctx.conv, "backwards"):
            ctx.conv.register_buffer(
                "backwards", ctx.conv.weight.flip(2, 3).transpose(0, 1).contiguous(), persistent=False
            )
        return _by_winograd(grads[0], ctx.conv.backwards, None), None


def _by_winograd(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Use NNPACK's Winograd transforms, a fifth of the products, if faster. Pictures are computed one by one."""
    work = x.shape[2] * x.shape[3] * weight.shape[0] * weight.shape[1]
    pays = work >= _LONG or torch.get_num_threads() == 1
    way = torch._nnpack_spatial_convolution if pays else F.conv2d
    parts = [way(part, weight, bias, padding=1) for part in x.contiguous().split(1)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution by the fastest method: (n, c, h, w) -> (n, d, h', w')"""
    patch = conv.kernel_size[0]
    if conv.kernel_size == conv.stride == (patch, patch) != (1, 1) and conv.bias is None:  # a ViT's patches
        split = x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # (n, c, h', patch, w', patch)
        return F.linear(split.permute(0, 2, 4, 1, 3, 5).flatten(3), conv.weight.flatten(1)).movedim(-1, 1)
    form = (conv.kernel_size, conv.stride, conv.padding, conv.groups)
    one, three = (form == ((side, side), (1, 1), (side // 2, side // 2), 1) for side in (1, 3))
    wide = min(conv.in_channels, conv.out_channels) >= _WIDE and x.shape[2] * x.shape[3] >= 2 * conv.in_channels
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and conv.weight.is_contiguous()
    if one and plain and x.is_contiguous() and conv.bias is not None:
        weight = conv.weight.flatten(1).expand(len(x), -1, -1)
        return torch.baddbmm(conv.bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])
    if three and wide and plain and torch.backends.nnpack.is_available():  # the call also initializes it
        return _ThreeByThree.apply(x, conv)
    return conv._conv_forward(x, conv.weight, conv.bias)


def _residual(block: Any, x: Tensor, _: None = None) -> Tensor:
    """taming's ResnetBlock, with its swish x * sigmoid(x) as one operation."""
    h = block.conv1(F.silu(block.norm1(x)))
    h = block.conv2(F.silu(block.norm2(h)))
    if block.in_channels != block.out_channels:
        x = block.conv_shortcut(x) if block.use_conv_shortcut else block.nin_shortcut(x)
    return x + h


def _attention(block: Any, x: Tensor) -> Tensor:
    """taming's AttnBlock, without its (n, h * w, h * w) weights: (n, c, h, w) -> the same."""
    h = block.norm(x)
    q, k, v = (layer(h).flatten(2).mT[:, None] for layer in (block.q, block.k, block.v))  # (n, 1, h * w, c)
    return x + block.proj_out(F.scaled_dot_product_attention(q, k, v)[:, 0].mT.reshape(x.shape))


def _decode(decoder: Any, z: Tensor) -> Tensor:
    """taming's Decoder: (n, c, h, w) -> (n, out, h * 2^k, w * 2^k)"""
    h = decoder.mid.block_2(decoder.mid.attn_1(decoder.mid.block_1(decoder.conv_in(z), None)), None)
    for level in reversed(decoder.up):
        for index, block in enumerate(level.block):
            h = block(h, None)
            h = level.attn[index](h) if len(level.attn) else h
        h = level.upsample(h) if hasattr(level, "upsample") else h
    if kernels := gpu.kernels(h):
        return decoder.conv_out(kernels.group_norm(decoder.norm_out, h, activated=True))
    return decoder.conv_out(F.silu(decoder.norm_out(h)))


class _QuickGELU(torch.autograd.Function):
    """x * sigmoid(1.702 x), which stores only x for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.silu(x * 1.702, inplace=True).div_(1.702)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grads[0], x * 1.702)


def _attending(
    attn: Any, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = True, attn_mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """torch's MultiheadAttention, (tokens, m, width); for few tokens on a CPU by plain matrix products.

    torch's own method there does not store the weights, which is slower, in a bfloat16 backward pass six times.
    """
    if need_weights or attn_mask is not None or query.device.type != "cpu" or len(key) > _FEW:
        options: dict[str, Any] = {"need_weights": need_weights, "attn_mask": attn_mask}
        return nn.MultiheadAttention.forward(attn, query, key, value, **options)
    weight, bias, width = attn.in_proj_weight, attn.in_proj_bias, attn.embed_dim
    if query is key:
        parts = F.linear(query, weight, bias).chunk(3, -1)
    else:
        alone = F.linear(query, weight[:width], bias[:width])
        parts = (alone, *F.linear(key, weight[width:], bias[width:]).chunk(2, -1))
    q, k, v = (part.reshape(len(part), -1, attn.head_dim).transpose(0, 1) for part in parts)  # (m * heads, tokens, c)
    values = (q * attn.head_dim**-0.5 @ k.mT).softmax(-1) @ v
    return attn.out_proj(values.transpose(0, 1).reshape(query.shape)), None


def _class_token_alone(block: Any, x: Tensor) -> Tensor:
    """The last block of a VisionTransformer, for the class token only: (tokens, m, width) -> (1, m, width)."""
    tokens = block.ln_1(x)
    x = x[:1] + block.attn(tokens[:1], tokens, tokens, need_weights=False)[0]
    return x + block.mlp(block.ln_2(x))


def _attention_pool(pool: Any, x: Tensor) -> Tensor:
    """The attention pool of CLIP's ResNet, for the one query that is used: (m, c, h, w) -> (m, d)."""
    x = x.flatten(2).mT
    x = torch.cat([x.mean(1, keepdim=True), x], 1) + pool.positional_embedding  # (m, 1 + h * w, c)
    inputs = ((pool.q_proj, x[:, :1]), (pool.k_proj, x), (pool.v_proj, x))
    q, k, v = (layer(part).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2) for layer, part in inputs)
    return pool.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(1))


def _fold_norms(module: Any) -> None:
    """Fold each batch norm of a ResNet's layer into the convolution before it."""
    children: dict[str, Any] = dict(module.named_children())
    for name, norm in children.items():
        if type(norm).__name__ == "BatchNorm2d":
            before = "0" if name == "1" else name.replace("bn", "conv")  # "0" and "1" are in `downsample`
            conv, scale = children[before], norm.weight * (norm.running_var + norm.eps).rsqrt()
            conv.bias = nn.Parameter(norm.bias - norm.running_mean * scale, requires_grad=False)
            conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None], requires_grad=False)
            setattr(module, name, nn.Identity())


WAYS: dict[str, Callable[..., Any]] = {
    "Conv2d": _convolve,
    "ResnetBlock": _residual,
    "AttnBlock": _attention,
    "Decoder": _decode,
    "MultiheadAttention": _attending,
    "QuickGELU": lambda _, x: _QuickGELU.apply(x),
    "AttentionPool2d": _attention_pool,
}
