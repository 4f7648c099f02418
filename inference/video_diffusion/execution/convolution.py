"""Convolutions on channels-last tensors [n, rows, columns, channels].

A temporal convolution (3, 1, 1) is one of these too: frames are its rows, pixels its columns, and its kernel is
three rows high and one column wide. So no 3D convolution is needed, which Apple's GPUs do not support.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .compiling import Call
from .norm import Affine, normalized


class Convolution(NamedTuple):
    """Weights: `weight` [out, in, kernel rows, kernel columns], `bias` [out] or None where it is added later."""

    weight: Tensor
    bias: Tensor | None


def convolve(values: Tensor, by: Convolution, *, stride: int = 1, padding: tuple[int, int] = (1, 1)) -> Tensor:
    """Convolve [n, rows, columns, channels] with zeros around."""
    result = functional.conv2d(values.permute(0, 3, 1, 2), by.weight, by.bias, stride, padding)
    return result.permute(0, 2, 3, 1).contiguous()


def convolve_rows(values: Tensor, by: Convolution, *, top: bool = True, bottom: bool = True) -> Tensor:
    """Convolve some rows of an image [n, rows, columns, channels].

    `top`, `bottom`: whether the image ends there and is padded with a row of zeros; else the outermost row is halo and
    has no row in the result.
    """
    columns = by.weight.shape[3] // 2
    if top == bottom:
        return convolve(values, by, padding=(int(top), columns))
    values = functional.pad(values, (0, 0, 0, 0, int(top), int(bottom)))
    return convolve(values, by, padding=(0, columns))


def convolve_normalized(
    parts: tuple[Tensor, ...],
    norm: Affine,
    by: Convolution,
    *,
    call: Call,
    top: bool = True,
    bottom: bool = True,
    in_place: bool = False,
) -> Tensor:
    """GroupNorm, SiLU and a convolution that keeps the size, three rows high and one or three columns wide.

    The `parts` [n, rows, columns, channels] are side by side along the channels; a single one may be overwritten if
    `in_place`. For `top` and `bottom` see `convolve_rows`.
    """
    values = call(normalized, parts, *norm, silu=True, in_place=in_place)
    return convolve_rows(values, by, top=top, bottom=bottom)


def doubling(weight: Tensor, bias: Tensor) -> Convolution:
    """The 3x3 convolution of a nearest-neighbor doubled image, as a 2x2 convolution of the image itself.

    In a doubled image, the three taps of a row fall on two of its pixels only: with separate kernels for even and odd
    pixels, the 3x3 kernel becomes four of 2x2, with fewer than half the products and without the doubled image. The
    channels are those of the result's even and odd rows, and in these of even and odd columns.
    """
    top, middle, bottom = weight.float().unbind(2)  # sums of taps are rounded once
    kernels = []
    for upper, lower in ((top, middle + bottom), (top + middle, bottom)):
        for taps in (upper, lower):
            left, center, right = taps.unbind(2)
            kernels.append((torch.stack([left, center + right], 2), torch.stack([left + center, right], 2)))
    phases = []
    for upper_taps, lower_taps in (kernels[:2], kernels[2:]):
        phases += [torch.stack([upper_taps[side], lower_taps[side]], 2) for side in range(2)]
    joint = torch.cat(phases).to(weight.dtype).contiguous(memory_format=torch.channels_last)
    return Convolution(joint, bias.repeat(4))


def double(values: Tensor, by: Convolution, *, top: bool = True, bottom: bool = True) -> Tensor:
    """Double an image [n, rows, columns, channels] and convolve it, by a result of `doubling`; see `convolve_rows`."""
    halo = (not top) + (not bottom)
    taps = convolve_rows(values, by, top=top, bottom=bottom)
    count, rows, columns, out = len(values), values.shape[1] - halo, values.shape[2], by.weight.shape[0] // 4
    result = torch.empty((count, rows, 2, columns, 2, out), dtype=values.dtype, device=values.device)
    for phase in range(4):
        down, right = divmod(phase, 2)
        result[:, :, down, :, right] = taps[
            :, down : down + rows, right : right + columns, phase * out : (phase + 1) * out
        ]
    return result.reshape(count, 2 * rows, 2 * columns, out)
