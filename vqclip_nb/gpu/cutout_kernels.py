"""Cutout kernels: pooling and augmentation of a picture, in one pass forward and one backward.

torch sums the gradients of both by atomic float additions, whose order differs from run to run. Here the gradients of
pooling are gathered, and those of the views are summed as integers, so that runs are reproducible.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

NUMBERS = 22  # of each view: back 9, turn 6, hue, saturation, noise level, erased top, left, height, width
_BITS = 38  # of the largest gradient as an integer
_BLOCK = 256


def pool_image(image: Tensor, size: int) -> Tensor:
    """Half average, half maximum of each cell of a size x size grid: (n, 3, H, W) -> (n, 3, size, size), float32."""
    return _Pool.apply(image.contiguous(), size)  # type: ignore[no-any-return]


def augment_views(image: Tensor, numbers: Tensor, grain: Tensor) -> Tensor:
    """Views of each picture: (n, 3, s, s), (m, NUMBERS) and noise (m, 3, s, s) -> (m, 3, s, s), float32.

    numbers, for each view: the inverse perspective (3 x 3) and the inverse affine map (2 x 3), in pixels; the rotation
    of its hue (in turns); the factor of its saturation; the level of its noise; its erased rectangle.
    """
    return _Views.apply(image.contiguous(), numbers.contiguous(), grain.contiguous())  # type: ignore[no-any-return]


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, size: int) -> Tensor:
        height, width = image.shape[-2:]
        out = image.new_empty(*image.shape[:2], size, size)
        largest = torch.empty_like(out, dtype=torch.int32)
        planes, grid = image.shape[0] * image.shape[1], triton.cdiv(size * size, _BLOCK)
        most = (-(-height // size) + 1, -(-width // size) + 1)
        _pool_kernel[(grid, planes)](image, out, largest, height, width, size, *most, BLOCK=_BLOCK)
        ctx.save_for_backward(largest)
        ctx.shape = image.shape
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (largest,), grad = ctx.saved_tensors, grads[0].contiguous()
        height, width = ctx.shape[-2:]
        size, out = grad.shape[-1], grad.new_empty(ctx.shape)
        planes, grid = ctx.shape[0] * ctx.shape[1], triton.cdiv(height * width, _BLOCK)
        most = (-(-size // height) + 1, -(-size // width) + 1)
        _pool_back_kernel[(grid, planes)](grad, largest, out, height, width, size, *most, BLOCK=_BLOCK)
        return out, None


class _Views(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, numbers: Tensor, grain: Tensor) -> Tensor:
        out, size = torch.empty_like(grain), image.shape[-1]
        grid = (triton.cdiv(size * size, _BLOCK), len(numbers))
        _views_kernel[grid](
            image, numbers, grain, grain, grain, out, size, len(numbers) // len(image), COUNT=NUMBERS, BACK=False,
            BLOCK=_BLOCK,
        )  # fmt: skip
        ctx.save_for_backward(image, numbers)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (image, numbers), grad = ctx.saved_tensors, grads[0].contiguous()
        size, sums = image.shape[-1], torch.zeros_like(image, dtype=torch.int64)
        largest = grad.view(len(image), -1).abs().amax(1)  # (n,)
        unit = largest / 2.0**_BITS  # nan if a gradient is nan, and then the result is too
        grid = (triton.cdiv(size * size, _BLOCK), len(numbers))
        _views_kernel[grid](
            image, numbers, grad, grad, unit, sums, size, len(numbers) // len(image), COUNT=NUMBERS, BACK=True,
            BLOCK=_BLOCK,
        )  # fmt: skip
        return sums * unit[:, None, None, None], None, None


@triton.jit
def _pool_kernel(image, out, largest, height, width, size, rows, columns, BLOCK: tl.constexpr):
    cell, plane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    known = cell < size * size
    i, j = cell // size, cell % size
    top, bottom = i * height // size, ((i + 1) * height + size - 1) // size
    left, right = j * width // size, ((j + 1) * width + size - 1) // size
    start = image + plane.to(tl.int64) * height * width
    total = tl.zeros((BLOCK,), tl.float32)
    most = tl.full((BLOCK,), float("-inf"), tl.float32)
    where = top * width + left
    for row in range(rows):
        for column in range(columns):
            y, x = top + row, left + column
            inside = known & (y < bottom) & (x < right)
            value = tl.load(start + y * width + x, inside, other=0.0)
            more = inside & ((value > most) | (value != value))
            total += value
            most = tl.where(more, value, most)
            where = tl.where(more, y * width + x, where)
    mean = total / ((bottom - top) * (right - left)).to(tl.float32)
    to = plane * size * size + cell
    tl.store(out + to, (mean + most) / 2, known)
    tl.store(largest + to, where, known)


@triton.jit
def _pool_back_kernel(grad, largest, out, height, width, size, rows, columns, BLOCK: tl.constexpr):
    pixel, plane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    known = pixel < height * width
    y, x = pixel // width, pixel % width
    first, last = y * size // height, ((y + 1) * size + height - 1) // height
    begin, end = x * size // width, ((x + 1) * size + width - 1) // width
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(rows):
        for column in range(columns):
            i, j = first + row, begin + column
            inside = known & (i < last) & (j < end)
            at = plane * size * size + i * size + j
            pull = tl.load(grad + at, inside, other=0.0)
            tall = ((i + 1) * height + size - 1) // size - i * height // size
            wide = ((j + 1) * width + size - 1) // size - j * width // size
            largest_here = tl.load(largest + at, inside, other=-1) == pixel
            total += pull * (1 / (tall * wide).to(tl.float32) + largest_here.to(tl.float32))
    tl.store(out + plane.to(tl.int64) * height * width + pixel, total / 2, known)


@triton.jit
def _ramp(sixths, turn):
    """(the share of the chroma that a channel lacks, its slope over the hue in sixths of a turn)"""
    away = sixths + turn
    away -= 6 * tl.floor(away / 6 + 0.5)
    far = tl.abs(away)
    slope = tl.where((far > 1) & (far < 2), tl.where(away > 0, -1.0, 1.0), 0.0)
    return tl.minimum(tl.maximum(2 - far, 0.0), 1.0), slope


@triton.jit
def _source(of, x, y, size):
    """The source of a view's pixel: (its coverage, left and top pixel, the fractions right and down)

    The inverse perspective comes first, and uncovers black; then the inverse affine map.
    """
    depth = tl.load(of + 6) * x + tl.load(of + 7) * y + tl.load(of + 8)
    u = (tl.load(of) * x + tl.load(of + 1) * y + tl.load(of + 2)) / depth
    v = (tl.load(of + 3) * x + tl.load(of + 4) * y + tl.load(of + 5)) / depth
    inside = tl.minimum(tl.maximum(u + 1, 0.0), 1.0) * tl.minimum(tl.maximum(size - u, 0.0), 1.0)
    inside *= tl.minimum(tl.maximum(v + 1, 0.0), 1.0) * tl.minimum(tl.maximum(size - v, 0.0), 1.0)
    u = tl.minimum(tl.maximum(u, -1.0 * size), 2.0 * size)
    v = tl.minimum(tl.maximum(v, -1.0 * size), 2.0 * size)
    right = tl.load(of + 9) * u + tl.load(of + 10) * v + tl.load(of + 11)
    down = tl.load(of + 12) * u + tl.load(of + 13) * v + tl.load(of + 14)
    right = tl.minimum(tl.maximum(right, 0.0), size - 1.0)
    down = tl.minimum(tl.maximum(down, 0.0), size - 1.0)
    left, top = tl.floor(right), tl.floor(down)
    return inside, left, top, right - left, down - top


@triton.jit
def _sample(at, aside, below, w00, w01, w10, w11, near):
    """The bilinear sample of four pixels, by their weights."""
    value = tl.load(at, near, other=0.0) * w00 + tl.load(at + aside, near, other=0.0) * w01
    value += tl.load(at + below, near, other=0.0) * w10 + tl.load(at + below + aside, near, other=0.0) * w11
    return value


@triton.jit
def _scatter(at, value, aside, below, w00, w01, w10, w11, near):
    """Add a value to four pixels by their weights, as integers."""
    tl.atomic_add(at, (value * w00).to(tl.int64), near, sem="relaxed")
    tl.atomic_add(at + aside, (value * w01).to(tl.int64), near, sem="relaxed")
    tl.atomic_add(at + below, (value * w10).to(tl.int64), near, sem="relaxed")
    tl.atomic_add(at + below + aside, (value * w11).to(tl.int64), near, sem="relaxed")


@triton.jit
def _kept(of, x, y):
    """0 in the erased rectangle of a view, 1 outside it."""
    erased = (y >= tl.load(of + 18)) & (y < tl.load(of + 18) + tl.load(of + 20))
    erased &= (x >= tl.load(of + 19)) & (x < tl.load(of + 19) + tl.load(of + 21))
    return tl.where(erased, 0.0, 1.0)


@triton.jit
def _colour_gradient(red, green, blue, value, least, apart, factor, to_value, to_colour, to_sixths):
    """The gradients of red, green and blue from those of value, colour and hue in sixths of a turn."""
    chroma = value - least
    is_red, is_green = red == value, green == value
    over = tl.maximum(chroma, 1e-8)
    to_apart = to_sixths / over
    share = tl.where(chroma * factor < value, 1.0, tl.where(chroma * factor == value, 0.5, 0.0))
    to_chroma = to_colour * factor * share
    to_chroma -= tl.where(chroma > 1e-8, to_apart * apart / over, 0.0)
    to_value += to_colour * (1 - share) + to_chroma
    highest = is_red.to(tl.float32) + is_green.to(tl.float32) + (blue == value).to(tl.float32)
    lowest = (red == least).to(tl.float32) + (green == least).to(tl.float32) + (blue == least).to(tl.float32)
    to_value, to_least = to_value / highest, -to_chroma / lowest
    second = is_green & (red != value)
    third = (red != value) & (green != value)
    to_red = tl.where(is_red, to_value, 0.0) + tl.where(red == least, to_least, 0.0)
    to_red += tl.where(third, to_apart, tl.where(second, -to_apart, 0.0))
    to_green = tl.where(is_green, to_value, 0.0) + tl.where(green == least, to_least, 0.0)
    to_green += tl.where(is_red, to_apart, tl.where(third, -to_apart, 0.0))
    to_blue = tl.where(blue == value, to_value, 0.0) + tl.where(blue == least, to_least, 0.0)
    to_blue += tl.where(second, to_apart, tl.where(is_red, -to_apart, 0.0))
    return to_red, to_green, to_blue


@triton.jit
def _views_kernel(
    image, numbers, grain, grad, unit, out, size, copies, COUNT: tl.constexpr, BACK: tl.constexpr, BLOCK: tl.constexpr
):
    pixel, view = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    picture, known = view // copies, pixel < size * size
    y, x = (pixel // size).to(tl.float32), (pixel % size).to(tl.float32)
    of = numbers + view * COUNT
    inside, left, top, right, down = _source(of, x, y, size)
    first = top.to(tl.int32) * size + left.to(tl.int32)
    aside, below = tl.where(left < size - 1, 1, 0), tl.where(top < size - 1, size, 0)
    w00, w01 = (1 - down) * (1 - right), (1 - down) * right
    w10, w11 = down * (1 - right), down * right
    area = size * size
    start = picture * 3 * area
    red_at = image + start + first
    green_at, blue_at = red_at + area, red_at + 2 * area
    near = known & (inside > 0)
    red = _sample(red_at, aside, below, w00, w01, w10, w11, near)
    green = _sample(green_at, aside, below, w00, w01, w10, w11, near)
    blue = _sample(blue_at, aside, below, w00, w01, w10, w11, near)
    red, green, blue = red * inside, green * inside, blue * inside

    # Saturation and hue, as in `cutouts.augment.recolour`.
    factor = tl.load(of + 16)
    value = tl.maximum(tl.maximum(red, green), blue)
    least = tl.minimum(tl.minimum(red, green), blue)
    chroma = value - least
    is_red, is_green = red == value, green == value
    apart = tl.where(is_red, green - blue, tl.where(is_green, blue - red, red - green))
    over = tl.maximum(chroma, 1e-8)
    sixths = tl.where(is_red, 0.0, tl.where(is_green, 2.0, 4.0)) + 6 * tl.load(of + 15) + apart / over
    ramp_red, slope_red = _ramp(sixths, 3.0)
    ramp_green, slope_green = _ramp(sixths, 1.0)
    ramp_blue, slope_blue = _ramp(sixths, -1.0)
    colour = tl.minimum(chroma * factor, value)

    kept = _kept(of, x, y)
    at = view.to(tl.int64) * 3 * area + pixel
    if not BACK:
        level = tl.load(of + 17)
        tl.store(out + at, (value - colour * ramp_red) * kept + level * tl.load(grain + at, known), known)
        at += area
        tl.store(out + at, (value - colour * ramp_green) * kept + level * tl.load(grain + at, known), known)
        at += area
        tl.store(out + at, (value - colour * ramp_blue) * kept + level * tl.load(grain + at, known), known)
    else:
        to_red = tl.load(grad + at, near, other=0.0) * kept
        to_green = tl.load(grad + at + area, near, other=0.0) * kept
        to_blue = tl.load(grad + at + 2 * area, near, other=0.0) * kept
        to_colour = -(to_red * ramp_red + to_green * ramp_green + to_blue * ramp_blue)
        to_sixths = -colour * (to_red * slope_red + to_green * slope_green + to_blue * slope_blue)
        to_value = to_red + to_green + to_blue
        to_red, to_green, to_blue = _colour_gradient(
            red, green, blue, value, least, apart, factor, to_value, to_colour, to_sixths
        )
        scale = inside / tl.load(unit + picture)
        near &= scale < float("inf")  # where all gradients are 0
        for channel in tl.static_range(3):
            to = to_red if channel == 0 else (to_green if channel == 1 else to_blue)
            _scatter(out + start + channel * area + first, to * scale, aside, below, w00, w01, w10, w11, near)
