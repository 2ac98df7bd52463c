"""Triton kernels for layers in half precision, channels last, each with the function that launches it.

torch's group norm needs channels first, and would convert each picture twice. These kernels use no atomic additions, so
that sums are reproducible.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE, _WARPS, _SUM_WARPS = 2048, 4, 4  # numbers that a program holds at once; warps of a program
_GROUP_TILE = 8192  # of a program that handles a whole group
_AHEAD = 4  # tiles that a summing program prefetches
_STRIPS = 528  # about as many programs sum a batch: four for each multiprocessor of an H200
_SMALL = 4096  # positions (h * w); up to this number one program handles a whole group


def add_in_place(x: Tensor, other: Tensor | None, bias: Tensor) -> Tensor:
    """x, (n, c, h, w) and channels last, with another such and a bias, (c,), added in position."""
    _call(_add_kernel, x, (x, x if other is None else other, bias), OTHER=other is not None)
    return x


def quick_gelu(x: Tensor, grad: Tensor | None = None) -> Tensor:
    """x * sigmoid(1.702 x); or, with the gradient of that in `grad`, the gradient of x."""
    out = torch.empty_like(x)
    back = grad is not None
    grid = (triton.cdiv(x.numel(), 1024),)
    _gelu_kernel[grid](x, x if grad is None else grad.contiguous(), out, x.numel(), BACK=back, BLOCK=1024)
    return out


def group_norm(x: Tensor, norm: Any, before: Tensor | None, activated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A group norm of x + before, (c,), then x * sigmoid(x) if `activated`. Returns the result, its line and its stats.

    line: the norm as x * scale + shift for each channel of each picture, (n, 2, c). stats: mean and 1 / deviation of
    each group, (n, groups, 2). Both are float32.
    """
    n, channels, groups, positions = len(x), x.shape[1], norm.num_groups, x.shape[2] * x.shape[3]
    line, stats = x.new_empty(n, 2, channels, dtype=torch.float32), x.new_empty(n, groups, 2, dtype=torch.float32)
    small = positions <= _SMALL
    out, kind = torch.empty_like(x), _kind(channels // groups, before, _GROUP_TILE if small else _TILE)
    parts = (norm.weight, norm.bias, before, line, stats)
    if small:
        _group_kernel[(groups, n)](
            x, *parts, out, positions, channels, norm.eps, ACTIVATED=activated, **kind, num_warps=8
        )
    else:
        sums = _sums(x, x, line, back=False, activated=False)
        _line_kernel[(groups, n)](sums, *parts, positions, channels, sums.shape[1], norm.eps, **kind)
        _call(_apply_kernel, x, (x, line, out), ACTIVATED=activated)
    return out, line, stats


def group_norm_back(
    x: Tensor, grad: Tensor, norm: Any, before: Any, saved: Any, activated: bool, beside: Tensor | None
) -> Tensor:
    """The gradient of the input of `group_norm`, from that of its output, plus `beside` unless that is None."""
    (line, stats), grad = saved, grad.contiguous(memory_format=torch.channels_last)
    n, channels, groups, positions = len(x), x.shape[1], norm.num_groups, x.shape[2] * x.shape[3]
    small = positions <= _SMALL
    out, kind = torch.empty_like(x), _kind(channels // groups, before, _GROUP_TILE if small else _TILE)
    switches = {"ACTIVATED": activated, "BESIDE": beside is not None}
    beside = grad if beside is None else beside
    if small:
        tensors = (x, grad, norm.weight, before, line, stats, beside, out, positions, channels)
        _group_back_kernel[(groups, n)](*tensors, **kind, **switches, num_warps=8)
        return out
    sums, slope = _sums(x, grad, line, back=True, activated=activated), torch.empty_like(line)
    _slope_kernel[(groups, n)](sums, norm.weight, before, stats, slope, positions, channels, sums.shape[1], **kind)
    _call(_back_kernel, x, (x, grad, line, slope, beside, out), **switches)
    return out


def _kind(width: int, before: Tensor | None, tile: int) -> dict[str, Any]:
    """The constants of group kernels: channels of a group, the next power of two, rows per tile, with a bias or not."""
    wide = triton.next_power_of_2(width)
    return {"WIDTH": width, "WIDE": wide, "ROWS": max(1, tile // wide), "BEFORE": before is not None}


def _shape(x: Tensor) -> tuple[int, int, int, int]:
    """(positions, channels, the next power of two, positions of a tile)"""
    channels = x.shape[1]
    wide = triton.next_power_of_2(channels)
    return x.shape[2] * x.shape[3], channels, wide, max(1, _TILE // wide)


def _call(kernel: Any, x: Tensor, tensors: tuple[Any, ...], **switches: bool) -> None:
    """Launch a kernel that works tile by tile."""
    positions, channels, wide, rows = _shape(x)
    grid = (triton.cdiv(positions, rows), len(x))
    kernel[grid](*tensors, positions, channels, WIDE=wide, ROWS=rows, num_warps=_WARPS, **switches)


def _sums(x: Tensor, grad: Tensor, line: Tensor, *, back: bool, activated: bool) -> Tensor:
    """Sums over strips, (n, strips, 2, c): of x and x², or backward, of the line's gradient and that * x."""
    positions, channels, wide, rows = _shape(x)
    tiles = _AHEAD * triton.cdiv(positions * len(x), rows * _STRIPS * _AHEAD)
    strips = triton.cdiv(positions, rows * tiles)
    sums = x.new_empty(len(x), strips, 2, channels, dtype=torch.float32)
    _sum_kernel[(strips, len(x))](
        x, grad, line, sums, positions, channels, tiles, BACK=back, ACTIVATED=activated, WIDE=wide, ROWS=rows,
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
def _tile(tile, positions, channels, WIDE: tl.constexpr, ROWS: tl.constexpr):
    """The offsets of a tile's numbers in their picture, the mask of those within it, and their channels."""
    position, channel = tile * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDE)
    inside = (position < positions)[:, None] & (channel < channels)[None, :]
    return position[:, None] * channels + channel[None, :], inside, channel


@triton.jit
def _pair(pairs, picture, channel, channels):
    """The two numbers of each channel, (1, c) each."""
    at = picture * 2 * channels + channel
    one = tl.load(pairs + at, channel < channels, other=0.0)
    other = tl.load(pairs + at + channels, channel < channels, other=0.0)
    return one[None, :], other[None, :]


@triton.jit(do_not_specialize=["tiles"])
def _sum_kernel(
    x, grad, line, sums, positions, channels, tiles,
    BACK: tl.constexpr, ACTIVATED: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    strip, picture = tl.program_id(0), tl.program_id(1)
    start, channel = picture.to(tl.int64) * positions * channels, tl.arange(0, WIDE)
    first = tl.zeros((ROWS, WIDE), tl.float32)
    second = tl.zeros((ROWS, WIDE), tl.float32)
    if BACK:
        scale, shift = _pair(line, picture, channel, channels)
    for begin in range(0, tiles, AHEAD):
        for tile in tl.static_range(AHEAD):
            at, inside, _ = _tile(strip * tiles + begin + tile, positions, channels, WIDE, ROWS)
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
    """A group's channels, and the mask of valid ones: (c,) each."""
    inner = tl.arange(0, WIDE)
    return group * WIDTH + inner, inner < WIDTH


@triton.jit
def _group_sums(sums, picture, channel, inside, strips, channels, WIDE: tl.constexpr, ROWS: tl.constexpr):
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
def _scale_and_shift(
    first, second, weight, bias, before, line, stats, picture, group, groups, channel, inside, positions, channels, eps,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    """A group's scale and shift, (c,) each, from its sums; they are stored and returned."""
    added = tl.zeros((WIDE,), tl.float32)
    if BEFORE:
        added = tl.load(before + channel, inside, other=0.0).to(tl.float32)
    count = positions * WIDTH
    mean = tl.sum(first + positions * added, 0) / count
    away = added - mean
    spread = tl.sum(tl.where(inside, second + 2 * away * first + positions * away * away, 0.0), 0) / count
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
def _norm_gradient(
    first, second, weight, before, stats, picture, group, groups, channel, inside, positions,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    """The norm's part of the gradient as x * by + level, (c,) each."""
    mean = tl.load(stats + (picture * groups + group) * 2)
    sharp = tl.load(stats + (picture * groups + group) * 2 + 1)
    away = tl.zeros((WIDE,), tl.float32) - mean
    if BEFORE:
        away += tl.load(before + channel, inside, other=0.0).to(tl.float32)
    scale = tl.load(weight + channel, inside, other=0.0)
    count = positions * WIDTH
    level = tl.sum(scale * first, 0) / count
    turn = sharp * tl.sum(scale * (second + away * first), 0) / count
    by = tl.zeros((WIDE,), tl.float32) - sharp * sharp * turn
    return by, by * away - sharp * level


@triton.jit(do_not_specialize=["strips"])
def _line_kernel(
    sums, weight, bias, before, line, stats, positions, channels, strips, eps,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    group, picture = tl.program_id(0), tl.program_id(1)
    channel, inside = _members(group, WIDTH, WIDE)
    first, second = _group_sums(sums, picture, channel, inside, strips, channels, WIDE, ROWS)
    _scale_and_shift(
        first, second, weight, bias, before, line, stats, picture, group, tl.num_programs(0), channel, inside,
        positions, channels, eps, WIDTH, WIDE, BEFORE,
    )  # fmt: skip


@triton.jit(do_not_specialize=["strips"])
def _slope_kernel(
    sums, weight, before, stats, slope, positions, channels, strips,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    group, picture = tl.program_id(0), tl.program_id(1)
    channel, inside = _members(group, WIDTH, WIDE)
    first, second = _group_sums(sums, picture, channel, inside, strips, channels, WIDE, ROWS)
    by, level = _norm_gradient(
        first, second, weight, before, stats, picture, group, tl.num_programs(0), channel, inside, positions,
        WIDTH, WIDE, BEFORE,
    )  # fmt: skip
    to = slope + picture * 2 * channels + channel
    tl.store(to, by, inside)
    tl.store(to + channels, level, inside)


@triton.jit
def _group_kernel(
    x, weight, bias, before, line, stats, out, positions, channels, eps,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr, ACTIVATED: tl.constexpr,
):  # fmt: skip
    """The norm of a small group in one program."""
    group, picture, rows = tl.program_id(0), tl.program_id(1), tl.arange(0, ROWS)
    channel, inside = _members(group, WIDTH, WIDE)
    start = picture.to(tl.int64) * positions * channels
    first = tl.zeros((ROWS, WIDE), tl.float32)
    second = tl.zeros((ROWS, WIDE), tl.float32)
    for row in range(0, positions, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        value = tl.load(x + at, (row + rows < positions)[:, None] & inside[None, :], other=0.0).to(tl.float32)
        first += value
        second += value * value
    scale, shift = _scale_and_shift(
        tl.sum(first, 0), tl.sum(second, 0), weight, bias, before, line, stats, picture, group, tl.num_programs(0),
        channel, inside, positions, channels, eps, WIDTH, WIDE, BEFORE,
    )  # fmt: skip
    for row in range(0, positions, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        there = (row + rows < positions)[:, None] & inside[None, :]
        u = tl.load(x + at, there, other=0.0).to(tl.float32) * scale[None, :] + shift[None, :]
        if ACTIVATED:
            u = u / (1 + tl.exp(-u))
        tl.store(out + at, u, there)


@triton.jit
def _group_back_kernel(
    x, grad, weight, before, line, stats, beside, out, positions, channels,
    WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BEFORE: tl.constexpr, ACTIVATED: tl.constexpr,
    BESIDE: tl.constexpr,
):  # fmt: skip
    group, picture, rows = tl.program_id(0), tl.program_id(1), tl.arange(0, ROWS)
    channel, inside = _members(group, WIDTH, WIDE)
    start = picture.to(tl.int64) * positions * channels
    of = line + picture * 2 * channels + channel
    scale = tl.load(of, inside, other=0.0)[None, :]
    shift = tl.load(of + channels, inside, other=0.0)[None, :]
    first = tl.zeros((ROWS, WIDE), tl.float32)
    second = tl.zeros((ROWS, WIDE), tl.float32)
    for row in range(0, positions, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        there = (row + rows < positions)[:, None] & inside[None, :]
        value = tl.load(x + at, there, other=0.0).to(tl.float32)
        through = _through(tl.load(grad + at, there, other=0.0).to(tl.float32), value, scale, shift, ACTIVATED)
        first += through
        second += through * value
    by, level = _norm_gradient(
        tl.sum(first, 0), tl.sum(second, 0), weight, before, stats, picture, group, tl.num_programs(0), channel,
        inside, positions, WIDTH, WIDE, BEFORE,
    )  # fmt: skip
    for row in range(0, positions, ROWS):
        at = start + (row + rows)[:, None] * channels + channel[None, :]
        there = (row + rows < positions)[:, None] & inside[None, :]
        value = tl.load(x + at, there, other=0.0).to(tl.float32)
        through = _through(tl.load(grad + at, there, other=0.0).to(tl.float32), value, scale, shift, ACTIVATED)
        result = scale * through + value * by[None, :] + level[None, :]
        if BESIDE:
            result += tl.load(beside + at, there, other=0.0).to(tl.float32)
        tl.store(out + at, result, there)


@triton.jit
def _apply_kernel(x, line, out, positions, channels, ACTIVATED: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr):
    at, inside, channel = _tile(tl.program_id(0), positions, channels, WIDE, ROWS)
    start = tl.program_id(1).to(tl.int64) * positions * channels
    scale, shift = _pair(line, tl.program_id(1), channel, channels)
    u = tl.load(x + start + at, inside, other=0.0).to(tl.float32) * scale + shift
    if ACTIVATED:
        u = u / (1 + tl.exp(-u))
    tl.store(out + start + at, u, inside)


@triton.jit
def _back_kernel(
    x, grad, line, slope, beside, out, positions, channels,
    ACTIVATED: tl.constexpr, BESIDE: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    at, inside, channel = _tile(tl.program_id(0), positions, channels, WIDE, ROWS)
    start = tl.program_id(1).to(tl.int64) * positions * channels
    scale, shift = _pair(line, tl.program_id(1), channel, channels)
    by, level = _pair(slope, tl.program_id(1), channel, channels)
    value = tl.load(x + start + at, inside, other=0.0).to(tl.float32)
    through = _through(tl.load(grad + start + at, inside, other=0.0).to(tl.float32), value, scale, shift, ACTIVATED)
    result = scale * through + value * by + level
    if BESIDE:
        result += tl.load(beside + start + at, inside, other=0.0).to(tl.float32)
    tl.store(out + start + at, result, inside)


@triton.jit
def _add_kernel(x, other, bias, positions, channels, OTHER: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr):
    at, inside, channel = _tile(tl.program_id(0), positions, channels, WIDE, ROWS)
    start = tl.program_id(1).to(tl.int64) * positions * channels
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
