"""GroupNorm in pieces: statistics of the parts of a layer's input are joined, and applied to any part.

Tensors are channels last, [n, pixels, channels] or [n, rows, columns, channels]: PyTorch's own CUDA kernel takes only
the other order and would copy both ways. Statistics are float32 and per channel, so that a layer's input may be in two
tensors (a block's input and its skip connection).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class GroupNorm(NamedTuple):
    """Weights of a GroupNorm: `weight`, `bias` [channels], float32."""

    weight: Tensor
    bias: Tensor
    groups: int
    eps: float


class Moments(NamedTuple):
    """Number of values, mean and sum of squared differences of each channel [n, channels]."""

    number: int
    mean: Tensor
    squares: Tensor


class Affine(NamedTuple):
    """A normalization as one product and one sum: `scale`, `shift` [n, 1, 1, channels], float32."""

    scale: Tensor
    shift: Tensor


def moments(values: Tensor) -> Moments:
    """Moments over the pixels of [n, ..., channels], for each n and channel.

    Half precision uses plain sums in float32: the values' own rounding is a larger error than cancellation, as long as
    the mean is below some hundreds of standard deviations, beyond which the values themselves are lost. float32 uses
    Welford's method, or on the CPU, where that is slow, sums of the differences to a sample.
    """
    values = values.flatten(1, -2)
    if values.dtype in (torch.float16, torch.bfloat16):
        return _plain(values)
    return _shifted(values) if values.device.type == "cpu" else _welford(values)


def _plain(values: Tensor) -> Moments:
    number = values.shape[1]
    mean = values.sum(1, dtype=torch.float32) / number
    raw = torch.linalg.vector_norm(values, dim=1, dtype=torch.float32).square()
    return Moments(number, mean, torch.addcmul(raw, mean, mean, value=-number).clamp_min_(0))


def _shifted(values: Tensor) -> Moments:
    number, sample = values.shape[1], values[:, :1]
    rest = values - sample
    offset = rest.sum(1) / number
    raw = rest.square_().sum(1)
    return Moments(number, offset + sample[:, 0], torch.addcmul(raw, offset, offset, value=-number).clamp_min_(0))


def _welford(values: Tensor) -> Moments:
    variance, mean = torch.var_mean(values, dim=1, correction=0)
    return Moments(values.shape[1], mean, variance * values.shape[1])


def beside(parts: Iterable[Moments]) -> Moments:
    """Moments of tensors that lie side by side along the channels."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    return Moments(
        parts[0].number, torch.cat([part.mean for part in parts], 1), torch.cat([part.squares for part in parts], 1)
    )


def pooled(statistics: Moments) -> Moments:
    """Moments over all n together, [1, channels]."""
    mean = statistics.mean.mean(0, keepdim=True)
    squares = statistics.squares.sum(0, keepdim=True) + statistics.number * (statistics.mean - mean).square().sum(
        0, keepdim=True
    )
    return Moments(statistics.number * len(statistics.mean), mean, squares)


def joined(parts: Iterable[Moments]) -> Moments:
    """Moments of several sets of pixels together (Chan, Golub, LeVeque 1979)."""
    return reduce(_joined, parts)


def _joined(first: Moments, second: Moments) -> Moments:
    number = first.number + second.number
    apart = second.mean - first.mean
    mean = first.mean + apart * (second.number / number)
    squares = first.squares + second.squares + apart.square() * (first.number * second.number / number)
    return Moments(number, mean, squares)


def affine(statistics: Moments, norm: GroupNorm, bias: Tensor | None = None) -> Affine:
    """The normalization of values with these moments; a bias that is added to the values before costs nothing here."""
    count = len(statistics.mean)
    means = statistics.mean if bias is None else statistics.mean + bias
    grouped = means.reshape(count, norm.groups, -1)
    between, mean = torch.var_mean(grouped, 2, correction=0, keepdim=True)
    within = statistics.squares.reshape(grouped.shape).mean(2, keepdim=True)
    inverse = torch.add(between, within, alpha=1 / statistics.number).add_(norm.eps).rsqrt_()
    scale = (norm.weight.reshape(1, norm.groups, -1) * inverse).reshape(means.shape)
    center = mean.expand_as(grouped).reshape(means.shape)
    if bias is not None:
        center = center - bias
    shift = torch.addcmul(norm.bias, center, scale, value=-1)
    return Affine(scale[:, None, None], shift[:, None, None])


def normalized(
    parts: tuple[Tensor, ...], scale: Tensor, shift: Tensor, *, silu: bool, in_place: bool = False
) -> Tensor:
    """Normalize tensors that are side by side along the channels, without concatenating them first.

    `scale` and `shift` are those of an `Affine`. The result is in the parts' dtype, computed in float32; a single part
    may be overwritten if `in_place`.
    """
    dtype, device = parts[0].dtype, parts[0].device
    if torch.compiler.is_compiling() or device.type == "mps":
        values = torch.cat(parts, -1) if len(parts) > 1 else parts[0]
        whole = (values.to(scale.dtype) * scale + shift).to(dtype)
        return functional.silu(whole) if silu else whole
    if in_place and len(parts) == 1:
        whole = parts[0]
    else:
        whole = torch.empty((*parts[0].shape[:-1], scale.shape[-1]), dtype=dtype, device=device)
    start = 0
    for part in parts:
        own = slice(start, start + part.shape[-1])
        # one kernel: reads half precision, computes in float32, writes half precision
        torch.addcmul(shift[..., own], part, scale[..., own], out=whole[..., own])
        start = own.stop
    return functional.silu(whole, inplace=True) if silu else whole
