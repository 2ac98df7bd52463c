"""Layers of the networks on a GPU, in half precision and channels last, with few passes over memory.

Weights are frozen, so that only the inputs of norms are stored for the backward pass. Kernels are in `triton_kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vqclip_nb.gpu import triton_kernels

_FEW = 64  # tokens
_FLASH, _EFFICIENT, _MATH = SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH


def half(module: Any, dtype: torch.dtype, prefix: str = "") -> tuple[Tensor, Tensor | None]:
    """A frozen layer's weight and bias in half precision, cached."""
    weight, bias = (getattr(module, f"{prefix}{name}") for name in ("weight", "bias"))
    cache: tuple[Tensor, Tensor | None] | None = module.__dict__.get("_half")
    if cache is None or cache[0].dtype != dtype or cache[0].device != weight.device:
        layout = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
        bias = None if bias is None else bias.detach().to(dtype)
        cache = (weight.detach().to(dtype, memory_format=layout), bias)
        module.__dict__["_half"] = cache
    return cache


def convolve(conv: Any, x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, d, h', w')"""
    patch, dtype = conv.kernel_size[0], torch.get_autocast_dtype(x.device.type)
    if conv.kernel_size == conv.stride == (patch, patch) != (1, 1) and conv.bias is None:  # a ViT's patches
        patches = F.pixel_unshuffle(x.to(dtype), patch).movedim(1, -1)  # (n, h / patch, w / patch, c * patch²)
        return F.linear(patches.contiguous(), half(conv, dtype)[0].flatten(1)).movedim(-1, 1)
    if _pointwise(conv):
        weight, bias = half(conv, dtype)
        return F.linear(_ready(x).movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
    return _Convolution.apply(_ready(x), conv)  # type: ignore[no-any-return]


def upsample(layer: Any, x: Tensor) -> Tensor:
    """taming's Upsample, nearest neighbours and a 3 x 3 convolution: (n, c, h, w) -> (n, d, 2 h, 2 w).

    It is computed as one transposed 4 x 4 convolution of stride 2, with 4/9 of the products.
    """
    if not layer.with_conv:
        return F.interpolate(x, scale_factor=2.0)
    return _Doubling.apply(_ready(x), layer.conv)  # type: ignore[no-any-return]


def residual(block: Any, x: Tensor, _: None = None) -> Tensor:
    """taming's ResnetBlock."""
    return _Residual.apply(_ready(x), block)  # type: ignore[no-any-return]


def transform(layers: Any, x: Tensor) -> Tensor:
    """A VisionTransformer's layers; the last computes only the class token: (tokens, m, w) -> (1, m, w)."""
    x = x.transpose(0, 1).contiguous()
    *blocks, last = layers.resblocks
    for block in blocks:
        x = block(x)
    tokens, x = last.ln_1(x), x[:, :1]
    x = x + last.attn(tokens[:, :1], tokens, tokens, need_weights=False)[0]
    return (x + last.mlp(last.ln_2(x))).transpose(0, 1)


def attend(attn: Any, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> tuple[Tensor, Any]:
    """torch's MultiheadAttention with value = key and no mask: (m, tokens, width) each -> the shape of query."""
    weight, bias = half(attn, query.dtype, "in_proj_")
    width = attn.embed_dim
    if query is key:
        parts = F.linear(query, weight, bias).chunk(3, -1)
    else:
        alone, others = (
            (weight[part], None if bias is None else bias[part]) for part in (slice(width), slice(width, None))
        )
        parts = (F.linear(query, *alone), *F.linear(key, *others).chunk(2, -1))
    q, k, v = (part.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for part in parts)
    few = (
        key.shape[1] <= _FEW
    )  # for few tokens the efficient kernel is twice as fast; for more its sums are not reproducible
    with sdpa_kernel([_EFFICIENT, _MATH] if few else [_FLASH, _EFFICIENT, _MATH]):
        mixed = F.scaled_dot_product_attention(q, k, v)  # (m, heads, tokens, c)
    return attn.out_proj(mixed.transpose(1, 2).flatten(2)), None


def linear(layer: Any, x: Tensor) -> Tensor:
    dtype = torch.get_autocast_dtype(x.device.type)
    return F.linear(x.to(dtype), *half(layer, dtype))


def layer_norm(norm: Any, x: Tensor) -> Tensor:
    """CLIP's LayerNorm, with sums in float32."""
    weight, bias = half(norm, x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def group_norm(norm: Any, x: Tensor, *, activated: bool) -> Tensor:
    """A group norm, then x * sigmoid(x) if `activated`: (n, c, h, w) -> the same."""
    return _Normed.apply(_ready(x), norm, activated)  # type: ignore[no-any-return]


def add(x: Tensor, other: Tensor | None, bias: Tensor) -> Tensor:
    """x, (n, c, h, w) and channels last, with another such and a bias, (c,), added in place."""
    return triton_kernels.add_in_place(x, other, bias)


def attend_cells(block: Any, x: Tensor) -> Tensor:
    """taming's AttnBlock: (n, c, h, w) -> the same."""
    x = _ready(x)
    h = group_norm(block.norm, x, activated=False)
    tokens = h.movedim(1, -1).flatten(1, 2)  # (n, h * w, c)
    q, k, v, out = ((weight.flatten(1), bias) for weight, bias in (half(layer, h.dtype) for layer in _layers(block)))
    mixed = _Attention.apply(*(F.linear(tokens, *layer) for layer in (q, k, v)))
    return x + F.linear(mixed, *out).unflatten(1, h.shape[2:]).movedim(-1, 1)


def _layers(block: Any) -> tuple[Any, Any, Any, Any]:
    return block.q, block.k, block.v, block.proj_out


class _Attention(torch.autograd.Function):
    """softmax(q k^T / sqrt(c)) v, (n, tokens, c) each; the weights are recomputed in the backward pass.

    torch's fused attention is 20 times slower at this width.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v)
        return _weights(q, k) @ v

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (q, k, v), grad = ctx.saved_tensors, grads[0]
        weights, scale = _weights(q, k), q.shape[-1] ** -0.5
        to_weights = torch._softmax_backward_data(grad @ v.mT, weights, -1, weights.dtype)
        return to_weights @ k * scale, to_weights.mT @ q * scale, weights.mT @ grad


def _weights(q: Tensor, k: Tensor) -> Tensor:
    with torch.autocast(q.device.type, enabled=False):  # which would compute them in float32
        return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1)


class QuickGELU(torch.autograd.Function):
    """x * sigmoid(1.702 x), in one pass each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return triton_kernels.quick_gelu(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return triton_kernels.quick_gelu(x, grads[0])


def _ready(x: Tensor) -> Tensor:
    dtype = torch.get_autocast_dtype(x.device.type)
    return x.to(dtype, memory_format=torch.channels_last).contiguous(memory_format=torch.channels_last)


def _pointwise(conv: Any) -> bool:
    return bool(conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1)


def _conv(conv: Any, x: Tensor, bias: Tensor | None) -> Tensor:
    weight, _ = half(conv, x.dtype)
    if _pointwise(conv):
        return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _conv_back(conv: Any, grad: Tensor, shape: torch.Size) -> Tensor:
    """The gradient of a convolution's input, (n, c, h, w), from that of its output."""
    weight, _ = half(conv, grad.dtype)
    if _pointwise(conv):
        return (grad.movedim(1, -1) @ weight.flatten(1)).movedim(-1, 1)
    like = torch.empty(  # only its shape is read
        shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last
    )
    grad = grad.contiguous(memory_format=torch.channels_last)
    arguments = (None, conv.stride, conv.padding, conv.dilation, False, [0, 0], conv.groups, (True, False, False))
    return torch.ops.aten.convolution_backward(grad, like, weight, *arguments)[0]  # type: ignore[no-any-return]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, conv: Any) -> Tensor:
        ctx.conv, ctx.shape = conv, x.shape
        return _conv(conv, x, half(conv, x.dtype)[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _conv_back(ctx.conv, grads[0], ctx.shape), None


class _Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, conv: Any) -> Tensor:
        if "_doubling" not in conv.__dict__ or conv._doubling.dtype != x.dtype:
            spread = x.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float32)
            with torch.autocast(x.device.type, enabled=False):
                weight = torch.einsum("ai,bj,dcij->cdab", spread, spread, conv.weight.float())
            conv.__dict__["_doubling"] = weight.to(x.dtype, memory_format=torch.channels_last)
        ctx.conv = conv
        return add(F.conv_transpose2d(x, conv._doubling, stride=2, padding=1), None, conv.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        return F.conv2d(grad, ctx.conv._doubling, stride=2, padding=1), None


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: Any, activated: bool) -> Tensor:
        out, *saved = triton_kernels.group_norm(x, norm, None, activated)
        ctx.save_for_backward(x, *saved)
        ctx.norm, ctx.activated = norm, activated
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, *saved = ctx.saved_tensors
        return triton_kernels.group_norm_back(x, grads[0], ctx.norm, None, saved, ctx.activated, None), None, None


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Any) -> Tensor:
        out, *first = triton_kernels.group_norm(x, block.norm1, None, True)
        middle = _conv(block.conv1, out, None)
        out, *second = triton_kernels.group_norm(middle, block.norm2, block.conv1.bias, True)
        shortcut = _shortcut(block)
        beside = x if shortcut is None else _conv(shortcut, x, half(shortcut, x.dtype)[1])
        ctx.block = block
        ctx.save_for_backward(x, middle, *first, *second)
        return add(_conv(block.conv2, out, None), beside, block.conv2.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        block, grad = ctx.block, grads[0].contiguous(memory_format=torch.channels_last)
        x, middle, *saved = ctx.saved_tensors
        back = _conv_back(block.conv2, grad, middle.shape)
        back = triton_kernels.group_norm_back(middle, back, block.norm2, block.conv1.bias, saved[2:], True, None)
        back = _conv_back(block.conv1, back, x.shape)
        shortcut = _shortcut(block)
        beside = grad if shortcut is None else _conv_back(shortcut, grad, x.shape)
        return triton_kernels.group_norm_back(x, back, block.norm1, None, saved[:2], True, beside), None


def _shortcut(block: Any) -> Any:
    """The convolution beside a block that changes the number of channels, or None."""
    if block.in_channels == block.out_channels:
        return None
    return block.conv_shortcut if block.use_conv_shortcut else block.nin_shortcut


WAYS: dict[str, Callable[..., Any]] = {
    "Conv2d": convolve,
    "ResnetBlock": residual,
    "AttnBlock": attend_cells,
    "Upsample": upsample,
    "Linear": linear,
    "NonDynamicallyQuantizableLinear": linear,
    "LayerNorm": layer_norm,
    "MultiheadAttention": attend,
    "QuickGELU": lambda _, x: QuickGELU.apply(x),
    "Transformer": transform,
}
