"""Networks: what they compute on a GPU in half precision, channels last, each pass over a picture doing all it can.

torch's group norm there wants channels first, and turns what it is given around and back. These kernels need no atomic
additions: the same numbers give the same sums. Weights are frozen, so only what norms read is kept for the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

_TILE, _WARPS, _SUM_WARPS = 2048, 4, 4  # numbers that a program holds at once; its warps of 32 threads
_GROUP_TILE = 8192  # of a program that does all of a group
_AHEAD = 4  # tiles that a program which sums asks for before it needs the first
_STRIPS = 528  # programs, about, that sum a batch: four for each processor of an H200
_SMALL = 4096  # places; up to there one program does all of a group
_FEW = 64  # tokens
_FLASH, _EFFICIENT, _MATH = SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH


def half(module: Any, dtype: torch.dtype, prefix: str = "") -> tuple[Tensor, Tensor | None]:
    """A frozen layer's weight and bias in half precision, made once."""
    weight, bias = (getattr(module, f"{prefix}{name}") for name in ("weight", "bias"))
    kept: tuple[Tensor, Tensor | None] | None = module.__dict__.get("_half")
    if kept is None or kept[0].dtype != dtype or kept[0].device != weight.device:
        layout = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
        bias = None if bias is None else bias.detach().to(dtype)
        kept = (weight.detach().to(dtype, memory_format=layout), bias)
        module.__dict__["_half"] = kept
    return kept


def convolved(conv: Any, x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, d, h', w')"""
    patch, dtype = conv.kernel_size[0], torch.get_autocast_dtype(x.device.type)
    if conv.kernel_size == conv.stride == (patch, patch) != (1, 1) and conv.bias is None:  # a ViT's patches
        patches = F.pixel_unshuffle(x.to(dtype), patch).movedim(1, -1)  # (n, h / patch, w / patch, c * patch²)
        return F.linear(patches.contiguous(), half(conv, dtype)[0].flatten(1)).movedim(-1, 1)
    if _pointwise(conv):
        weight, bias = half(conv, dtype)
        return F.linear(_ready(x).movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
    return _Convolution.apply(_ready(x), conv)  # type: ignore[no-any-return]


def upsampled(layer: Any, x: Tensor) -> Tensor:
    """taming's Upsample, each pixel four times and then a 3 x 3 convolution: (n, c, h, w) -> (n, d, 2 h, 2 w).

    That is one transposed convolution of 4 x 4 and stride 2, in 4 ninths of the products.
    """
    if not layer.with_conv:
        return F.interpolate(x, scale_factor=2.0)
    return _Doubling.apply(_ready(x), layer.conv)  # type: ignore[no-any-return]


def residual(block: Any, x: Tensor, _: None = None) -> Tensor:
    """taming's ResnetBlock."""
    return _Residual.apply(_ready(x), block)  # type: ignore[no-any-return]


def transformed(layers: Any, x: Tensor) -> Tensor:
    """A VisionTransformer's layers, picture by picture, to the one token that is read: (tokens, m, w) -> (1, m, w)."""
    x = x.transpose(0, 1).contiguous()
    *blocks, last = layers.resblocks
    for block in blocks:
        x = block(x)
    seen, x = last.ln_1(x), x[:, :1]
    x = x + last.attn(seen[:, :1], seen, seen, need_weights=False)[0]
    return (x + last.mlp(last.ln_2(x))).transpose(0, 1)


def attended(attn: Any, query: Tensor, key: Tensor, value: Tensor, **asked: Any) -> tuple[Tensor, Any]:
    """torch's MultiheadAttention, of values that are the keys, without a mask: (m, tokens, width) each -> as query."""
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
    few = key.shape[1] <= _FEW  # of which the second is twice as fast; of more its sums would be in no fixed order
    with sdpa_kernel([_EFFICIENT, _MATH] if few else [_FLASH, _EFFICIENT, _MATH]):
        mixed = F.scaled_dot_product_attention(q, k, v)  # (m, heads, tokens, c)
    return attn.out_proj(mixed.transpose(1, 2).flatten(2)), None


def linear(layer: Any, x: Tensor) -> Tensor:
    dtype = torch.get_autocast_dtype(x.device.type)
    return F.linear(x.to(dtype), *half(layer, dtype))


def layer_normed(norm: Any, x: Tensor) -> Tensor:
    """CLIP's LayerNorm; the sums are made in float32."""
    weight, bias = half(norm, x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def normed(norm: Any, x: Tensor, *, activated: bool) -> Tensor:
    """A group norm, then x * sigmoid(x) where asked: (n, c, h, w) -> the same."""
    return _Normed.apply(_ready(x), norm, activated)  # type: ignore[no-any-return]


def added(x: Tensor, other: Tensor | None, bias: Tensor) -> Tensor:
    """x, (n, c, h, w) and channels last, with another such and a bias, (c,), added in place."""
    _call(_add_kernel, x, (x, x if other is None else other, bias), OTHER=other is not None)
    return x


def attended_places(block: Any, x: Tensor) -> Tensor:
    """taming's AttnBlock: (n, c, h, w) -> the same."""
    x = _ready(x)
    h = normed(block.norm, x, activated=False)
    tokens = h.movedim(1, -1).flatten(1, 2)  # (n, h * w, c)
    q, k, v, out = ((weight.flatten(1), bias) for weight, bias in (half(layer, h.dtype) for layer in _layers(block)))
    mixed = _Attention.apply(*(F.linear(tokens, *layer) for layer in (q, k, v)))
    return x + F.linear(mixed, *out).unflatten(1, h.shape[2:]).movedim(-1, 1)


def _layers(block: Any) -> tuple[Any, Any, Any, Any]:
    return block.q, block.k, block.v, block.proj_out


class _Attention(torch.autograd.Function):
    """softmax(q k^T / sqrt(c)) v, (n, tokens, c) each; the weights are computed again on the way back.

    torch's own for so wide a c, which keeps its weights in no place at all, takes twenty times as long.
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
        out = torch.empty_like(x)
        _gelu_kernel[(triton.cdiv(x.numel(), 1024),)](x, x, out, x.numel(), BACK=False, BLOCK=1024)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        _gelu_kernel[(triton.cdiv(x.numel(), 1024),)](x, grads[0].contiguous(), out, x.numel(), BACK=True, BLOCK=1024)
        return out


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
    """The gradient of what a convolution was given, (n, c, h, w), from that of what it gave."""
    weight, _ = half(conv, grad.dtype)
    if _pointwise(conv):
        return (grad.movedim(1, -1) @ weight.flatten(1)).movedim(-1, 1)
    given = torch.empty(
        shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last
    )  # only its shape is read
    grad = grad.contiguous(memory_format=torch.channels_last)
    asked = (None, conv.stride, conv.padding, conv.dilation, False, [0, 0], conv.groups, (True, False, False))
    return torch.ops.aten.convolution_backward(grad, given, weight, *asked)[0]  # type: ignore[no-any-return]


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
        return added(F.conv_transpose2d(x, conv._doubling, stride=2, padding=1), None, conv.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        return F.conv2d(grad, ctx.conv._doubling, stride=2, padding=1), None


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: Any, activated: bool) -> Tensor:
        out, *saved = _norm(x, norm, None, activated)
        ctx.save_for_backward(x, *saved)
        ctx.norm, ctx.activated = norm, activated
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, *saved = ctx.saved_tensors
        return _back(x, grads[0], ctx.norm, None, saved, ctx.activated, None), None, None


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Any) -> Tensor:
        out, *first = _norm(x, block.norm1, None, True)
        middle = _conv(block.conv1, out, None)
        out, *second = _norm(middle, block.norm2, block.conv1.bias, True)
        shortcut = _shortcut(block)
        beside = x if shortcut is None else _conv(shortcut, x, half(shortcut, x.dtype)[1])
        ctx.block = block
        ctx.save_for_backward(x, middle, *first, *second)
        return added(_conv(block.conv2, out, None), beside, block.conv2.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        block, grad = ctx.block, grads[0].contiguous(memory_format=torch.channels_last)
        x, middle, *saved = ctx.saved_tensors
        back = _conv_back(block.conv2, grad, middle.shape)
        back = _back(middle, back, block.norm2, block.conv1.bias, saved[2:], True, None)
        back = _conv_back(block.conv1, back, x.shape)
        shortcut = _shortcut(block)
        beside = grad if shortcut is None else _conv_back(shortcut, grad, x.shape)
        return _back(x, back, block.norm1, None, saved[:2], True, beside), None


def _shortcut(block: Any) -> Any:
    """The convolution beside a block that changes the number of channels, or None."""
    if block.in_channels == block.out_channels:
        return None
    return block.conv_shortcut if block.use_conv_shortcut else block.nin_shortcut


def _norm(x: Tensor, norm: Any, before: Tensor | None, activated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A group norm of x + before, (c,), and x * sigmoid(x) where asked; what it comes to; its groups.

    A norm comes to x * scale + shift, for each channel of each picture: (n, 2, c). Of each group the mean and
    1 / deviation: (n, groups, 2). Both float32.
    """
    n, channels, groups, places = len(x), x.shape[1], norm.num_groups, x.shape[2] * x.shape[3]
    line, stats = x.new_empty(n, 2, channels, dtype=torch.float32), x.new_empty(n, groups, 2, dtype=torch.float32)
    small = places <= _SMALL
    out, kind = torch.empty_like(x), _kind(channels // groups, before, _GROUP_TILE if small else _TILE)
    given = (norm.weight, norm.bias, before, line, stats)
    if small:
        _group_kernel[(groups, n)](x, *given, out, places, channels, norm.eps, ACTIVATED=activated, **kind, num_warps=8)
    else:
        sums = _sums(x, x, line, back=False, activated=False)
        _line_kernel[(groups, n)](sums, *given, places, channels, sums.shape[1], norm.eps, **kind)
        _call(_apply_kernel, x, (x, line, out), ACTIVATED=activated)
    return out, line, stats


def _back(
    x: Tensor, grad: Tensor, norm: Any, before: Any, saved: Any, activated: bool, beside: Tensor | None
) -> Tensor:
    """The gradient of what `_norm` was given, from that of what it gave, plus `beside` where there is one."""
    (line, stats), grad = saved, grad.contiguous(memory_format=torch.channels_last)
    n, channels, groups, places = len(x), x.shape[1], norm.num_groups, x.shape[2] * x.shape[3]
    small = places <= _SMALL
    out, kind = torch.empty_like(x), _kind(channels // groups, before, _GROUP_TILE if small else _TILE)
    switches = {"ACTIVATED": activated, "BESIDE": beside is not None}
    beside = grad if beside is None else beside
    if small:
        given = (x, grad, norm.weight, before, line, stats, beside, out, places, channels)
        _group_back_kernel[(groups, n)](*given, **kind, **switches, num_warps=8)
        return out
    sums, slope = _sums(x, grad, line, back=True, activated=activated), torch.empty_like(line)
    _slope_kernel[(groups, n)](sums, norm.weight, before, stats, slope, places, channels, sums.shape[1], **kind)
    _call(_back_kernel, x, (x, grad, line, slope, beside, out), **switches)
    return out


def _kind(width: int, before: Tensor | None, tile: int) -> dict[str, Any]:
    """What the kernels for groups are made for: (channels in a group, as a power of two too, places at once, bias)"""
    wide = triton.next_power_of_2(width)
    return {"WIDTH": width, "WIDE": wide, "ROWS": max(1, tile // wide), "BEFORE": before is not None}


def _shape(x: Tensor) -> tuple[int, int, int, int]:
    """(places, channels, a power of two that holds them, places in a tile)"""
    channels = x.shape[1]
    wide = triton.next_power_of_2(channels)
    return x.shape[2] * x.shape[3], channels, wide, max(1, _TILE // wide)


def _call(kernel: Any, x: Tensor, tensors: tuple[Any, ...], **switches: bool) -> None:
    """A kernel that works tile by tile."""
    places, channels, wide, rows = _shape(x)
    grid = (triton.cdiv(places, rows), len(x))
    kernel[grid](*tensors, places, channels, WIDE=wide, ROWS=rows, num_warps=_WARPS, **switches)


def _sums(x: Tensor, grad: Tensor, line: Tensor, *, back: bool, activated: bool) -> Tensor:
    """Sums over strips of places, (n, strips, 2, c): of x and x², or, back, of the line's gradient and that * x."""
    places, channels, wide, rows = _shape(x)
    tiles = _AHEAD * triton.cdiv(places * len(x), rows * _STRIPS * _AHEAD)
    strips = triton.cdiv(places, rows * tiles)
    sums = x.new_empty(len(x), strips, 2, channels, dtype=torch.float32)
    _sum_kernel[(strips, len(x))](
        x, grad, line, sums, places, channels, tiles, BACK=back, ACTIVATED=activated, WIDE=wide, ROWS=rows,
        AHEAD=_AHEAD, num_warps=_SUM_WARPS,
    )  # fmt: skip
    return sums


@triton.jit
def _through(grad, x, scale, shift, ACTIVATED: tl.constexpr):
    """The gradient of u = x * scale + shift, from that of u * sigmoid(u)."""
    if ACTIVATED:
        u = x * scale + shift
        open = 1 / (1 + tl.exp(-u))
        grad = grad * open * (1 + u * (1 - open))
    return grad


@triton.jit
def _tile(tile, places, channels, WIDE: tl.constexpr, ROWS: tl.constexpr):
    """Where the numbers of a tile lie in their picture, which of them there are, and their channels."""
    place, channel = tile * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDE)
    inside = (place < places)[:, None] & (channel < channels)[None, :]
    return place[:, None] * channels + channel[None, :], inside, channel


@triton.jit
def _pair(pairs, picture, channel, channels):
    """The two numbers of each channel, (1, c) each."""
    at = picture * 2 * channels + channel
    one = tl.load(pairs + at, channel < channels, other=0.0)
    other = tl.load(pairs + at + channels, channel < channels, other=0.0)
    return one[None, :], other[None, :]


@triton.jit(do_not_specialize=["tiles"])
def _sum_kernel(
    x, grad, line, sums, places, channels, tiles,
    BACK: tl.constexpr, ACTIVATED: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    strip, picture = tl.program_id(0), tl.program_id(1)
    start, channel = picture.to(tl.int64) * places * channels, tl.arange(0, WIDE)
    first = tl.zeros((ROWS, WIDE), tl.float32)
    second = tl.zeros((ROWS, WIDE), tl.float32)
    if BACK:
        scale, shift = _pair(line, picture, channel, channels)
    for build_painting in range(0, tiles, AHEAD):
        for tile in tl.static_range(AHEAD):
            at, inside, _ = _tile(strip * tiles + build_painting + tile, places, channels, WIDE, ROWS)
            value = tl.load(x + start + at, inside, other=0.0).to(tl.float32)
            one = value
            if BACK:
                one = tl.load(grad + start + at, inside, other=0.0).to(tl.float32)
                one = _through(one, value, scale, shift, ACTIVATED)
            first += one
            second += one * value
    to = sums + (picture * tl.num_programs(0) + strip) * 2 * channels + channel
    tl.store(to, tl.sum(first, 0), channel < channels)
    tl.store(to + channels, tl.sum(second, 0), channel < channels)


@triton.jit
def _members(group, WIDTH: tl.constexpr, WIDE: tl.constexpr):
    """A group's channels, and which of them there are: (c,) each."""
    inner = tl.arange(0, WIDE)
    return group * WIDTH + inner, inner < WIDTH


@triton.jit
def _summed(sums, picture, channel, inside, strips, channels, WIDE: tl.constexpr, ROWS: tl.constexpr):
    """A group's sums over all strips, (c,) each."""
    rows = tl.arange(0, ROWS)
    first = tl.zeros((ROWS, WIDE), tl.float32)
    second = tl.zeros((ROWS, WIDE), tl.float32)
    for start in range(0, strips, ROWS):
        there = (start + rows < strips)[:, None] & inside[None, :]
        at = (picture * strips + start + rows)[:, None] * 2 * channels + channel[None, :]
        first += tl.load(sums + at, there, other=0.0)
        second += tl.load(sums + at + channels, there, other=0.0)
    return tl.sum(first, 0), tl.sum(second, 0)


@triton.jit
def _drawn(
    first, second, weight, bias, before, line, stats, picture, group, groups, channel, inside, places, channels, eps,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    """A group's line, kept and returned, (c,) each, from its sums."""
    added = tl.zeros((WIDE,), tl.float32)
    if BEFORE:
        added = tl.load(before + channel, inside, other=0.0).to(tl.float32)
    count = places * WIDTH
    mean = tl.sum(first + places * added, 0) / count
    away = added - mean
    spread = tl.sum(tl.where(inside, second + 2 * away * first + places * away * away, 0.0), 0) / count
    sharp = 1 / tl.sqrt(tl.maximum(spread, 0.0) + eps)
    scale = sharp * tl.load(weight + channel, inside, other=0.0)
    shift = tl.load(bias + channel, inside, other=0.0) + away * scale
    to = line + picture * 2 * channels + channel
    tl.store(to, scale, inside)
    tl.store(to + channels, shift, inside)
    tl.store(stats + (picture * groups + group) * 2, mean)
    tl.store(stats + (picture * groups + group) * 2 + 1, sharp)
    return scale, shift


@triton.jit
def _turned(
    first, second, weight, before, stats, picture, group, groups, channel, inside, places,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    """What the norm adds to the gradient: x * by + level, (c,) each."""
    mean = tl.load(stats + (picture * groups + group) * 2)
    sharp = tl.load(stats + (picture * groups + group) * 2 + 1)
    away = tl.zeros((WIDE,), tl.float32) - mean
    if BEFORE:
        away += tl.load(before + channel, inside, other=0.0).to(tl.float32)
    scale = tl.load(weight + channel, inside, other=0.0)
    count = places * WIDTH
    level = tl.sum(scale * first, 0) / count
    turn = sharp * tl.sum(scale * (second + away * first), 0) / count
    by = tl.zeros((WIDE,), tl.float32) - sharp * sharp * turn
    return by, by * away - sharp * level


@triton.jit(do_not_specialize=["strips"])
def _line_kernel(
    sums, weight, bias, before, line, stats, places, channels, strips, eps,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    group, picture = tl.program_id(0), tl.program_id(1)
    channel, inside = _members(group, WIDTH, WIDE)
    first, second = _summed(sums, picture, channel, inside, strips, channels, WIDE, ROWS)
    _drawn(
        first, second, weight, bias, before, line, stats, picture, group, tl.num_programs(0), channel, inside, places,
        channels, eps, WIDTH, WIDE, BEFORE,
    )  # fmt: skip


@triton.jit(do_not_specialize=["strips"])
def _slope_kernel(
    sums, weight, before, stats, slope, places, channels, strips,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    group, picture = tl.program_id(0), tl.program_id(1)
    channel, inside = _members(group, WIDTH, WIDE)
    first, second = _summed(sums, picture, channel, inside, strips, channels, WIDE, ROWS)
    by, level = _turned(
        first, second, weight, before, stats, picture, group, tl.num_programs(0), channel, inside, places,
        WIDTH, WIDE, BEFORE,
    )  # fmt: skip
    to = slope + picture * 2 * channels + channel
    tl.store(to, by, inside)
    tl.store(to + channels, level, inside)


@triton.jit
def _group_kernel(
    x, weight, bias, before, line, stats, out, places, channels, eps,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr, ACTIVATED: tl.constexpr,
):  # fmt: skip
    """A norm of few places at once."""
    group, picture, rows = tl.program_id(0), tl.program_id(1), tl.arange(0, ROWS)
    channel, inside = _members(group, WIDTH, WIDE)
    start = picture.to(tl.int64) * places * channels
    first = tl.zeros((ROWS, WIDE), tl.float32)
    second = tl.zeros((ROWS, WIDE), tl.float32)
    for row in range(0, places, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        value = tl.load(x + at, (row + rows < places)[:, None] & inside[None, :], other=0.0).to(tl.float32)
        first += value
        second += value * value
    scale, shift = _drawn(
        tl.sum(first, 0), tl.sum(second, 0), weight, bias, before, line, stats, picture, group, tl.num_programs(0),
        channel, inside, places, channels, eps, WIDTH, WIDE, BEFORE,
    )  # fmt: skip
    for row in range(0, places, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        there = (row + rows < places)[:, None] & inside[None, :]
        u = tl.load(x + at, there, other=0.0).to(tl.float32) * scale[None, :] + shift[None, :]
        if ACTIVATED:
            u = u / (1 + tl.exp(-u))
        tl.store(out + at, u, there)


@triton.jit
def _group_back_kernel(
    x, grad, weight, before, line, stats, beside, out, places, channels,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr, ACTIVATED: tl.constexpr,
    BESIDE: tl.constexpr,
):  # fmt: skip
    group, picture, rows = tl.program_id(0), tl.program_id(1), tl.arange(0, ROWS)
    channel, inside = _members(group, WIDTH, WIDE)
    start = picture.to(tl.int64) * places * channels
    of = line + picture * 2 * channels + channel
    scale = tl.load(of, inside, other=0.0)[None, :]
    shift = tl.load(of + channels, inside, other=0.0)[None, :]
    first = tl.zeros((ROWS, WIDE), tl.float32)
    second = tl.zeros((ROWS, WIDE), tl.float32)
    for row in range(0, places, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        there = (row + rows < places)[:, None] & inside[None, :]
        value = tl.load(x + at, there, other=0.0).to(tl.float32)
        through = _through(tl.load(grad + at, there, other=0.0).to(tl.float32), value, scale, shift, ACTIVATED)
        first += through
        second += through * value
    by, level = _turned(
        tl.sum(first, 0), tl.sum(second, 0), weight, before, stats, picture, group, tl.num_programs(0), channel,
        inside, places, WIDTH, WIDE, BEFORE,
    )  # fmt: skip
    for row in range(0, places, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        there = (row + rows < places)[:, None] & inside[None, :]
        value = tl.load(x + at, there, other=0.0).to(tl.float32)
        through = _through(tl.load(grad + at, there, other=0.0).to(tl.float32), value, scale, shift, ACTIVATED)
        result = scale * through + value * by[None, :] + level[None, :]
        if BESIDE:
            result += tl.load(beside + at, there, other=0.0).to(tl.float32)
        tl.store(out + at, result, there)


@triton.jit
def _apply_kernel(x, line, out, places, channels, ACTIVATED: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr):
    at, inside, channel = _tile(tl.program_id(0), places, channels, WIDE, ROWS)
    start = tl.program_id(1).to(tl.int64) * places * channels
    scale, shift = _pair(line, tl.program_id(1), channel, channels)
    u = tl.load(x + start + at, inside, other=0.0).to(tl.float32) * scale + shift
    if ACTIVATED:
        u = u / (1 + tl.exp(-u))
    tl.store(out + start + at, u, inside)


@triton.jit
def _back_kernel(
    x, grad, line, slope, beside, out, places, channels,
    ACTIVATED: tl.constexpr, BESIDE: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    at, inside, channel = _tile(tl.program_id(0), places, channels, WIDE, ROWS)
    start = tl.program_id(1).to(tl.int64) * places * channels
    scale, shift = _pair(line, tl.program_id(1), channel, channels)
    by, level = _pair(slope, tl.program_id(1), channel, channels)
    value = tl.load(x + start + at, inside, other=0.0).to(tl.float32)
    through = _through(tl.load(grad + start + at, inside, other=0.0).to(tl.float32), value, scale, shift, ACTIVATED)
    result = scale * through + value * by + level
    if BESIDE:
        result += tl.load(beside + start + at, inside, other=0.0).to(tl.float32)
    tl.store(out + start + at, result, inside)


@triton.jit
def _add_kernel(x, other, bias, places, channels, OTHER: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr):
    at, inside, channel = _tile(tl.program_id(0), places, channels, WIDE, ROWS)
    start = tl.program_id(1).to(tl.int64) * places * channels
    total = tl.load(bias + channel, channel < channels, other=0.0).to(tl.float32)[None, :]
    total += tl.load(x + start + at, inside, other=0.0).to(tl.float32)
    if OTHER:
        total += tl.load(other + start + at, inside, other=0.0).to(tl.float32)
    tl.store(x + start + at, total, inside)


@triton.jit
def _gelu_kernel(x, grad, out, count, BACK: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, at < count, other=0.0).to(tl.float32)
    open = 1 / (1 + tl.exp(-1.702 * value))
    result = value * open
    if BACK:
        slope = open * (1 + 1.702 * value * (1 - open))
        result = tl.load(grad + at, at < count, other=0.0).to(tl.float32) * slope
    tl.store(out + at, result, at < count)


WAYS: dict[str, Callable[..., Any]] = {
    "Conv2d": convolved,
    "ResnetBlock": residual,
    "AttnBlock": attended_places,
    "Upsample": upsampled,
    "Linear": linear,
    "NonDynamicallyQuantizableLinear": linear,
    "LayerNorm": layer_normed,
    "MultiheadAttention": attended,
    "QuickGELU": lambda _, x: QuickGELU.apply(x),
    "Transformer": transformed,
}
