"""Residual blocks in pieces: spatial ones by frames or rows, temporal ones by pixels.

Hidden states are [frames, rows, columns, channels].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .compiling import Call
from .convolution import convolve_normalized
from .layer_weights import Residual, bring
from .norm import Moments, affine, beside, joined, moments, pooled
from .pieces import Whole, spans

Check = Callable[[], None]


def spatial(
    hidden: Tensor,
    skip: Tensor | None,
    weights: Residual,
    *,
    frames: int | None,
    call: Call,
    check: Check,
) -> tuple[Tensor, Moments]:
    """A spatial residual block, some frames at a time; returns a new tensor [F, H, W, O] and its moments [1, O].

    `skip` is beside `hidden` [F, H, W, C] along the channels and may be in host memory; the two are never concatenated.
    """
    total, height, width, channels = hidden.shape
    widest = max(channels + (0 if skip is None else skip.shape[3]), len(weights.bias1))
    whole, known = Whole(total), []
    for some in spans(total, frames, elements=height * width * widest):
        check()
        parts = (hidden[some],) if skip is None else (hidden[some], bring(skip[some], hidden.device))
        piece, found = residual(parts, weights, call)
        known.append(found)
        whole.put(some, piece)
        del piece
    return whole.tensor, joined(known)


def residual(parts: tuple[Tensor, ...], weights: Residual, call: Call) -> tuple[Tensor, Moments]:
    """A spatial residual block of whole frames at once, and its result's moments over all frames."""
    before = affine(beside([call(moments, part) for part in parts]), weights.norm1)
    inner = convolve_normalized(parts, before, weights.conv1, call=call)
    between = affine(call(moments, inner), weights.norm2, weights.bias1)
    result = convolve_normalized((inner,), between, weights.conv2, call=call, in_place=True)
    del inner
    result = add_past(result, parts, weights, call)
    return result, pooled(call(moments, result))


def add_past(result: Tensor, parts: tuple[Tensor, ...], weights: Residual, call: Call) -> Tensor:
    """Add bias and input to a block's `result`, in place; the input goes through the shortcut where channels change."""
    if weights.shortcut is None:
        return call(_summed, result, parts[0], weights.bias2)
    start = 0
    flat = result.view(-1, result.shape[-1])
    for part in parts:
        own = slice(start, start + part.shape[-1])
        flat.addmm_(part.reshape(-1, part.shape[-1]), weights.shortcut[:, own].t())
        start = own.stop
    return result.add_(weights.bias2)


def _summed(result: Tensor, block_input: Tensor, bias: Tensor) -> Tensor:
    return result.add_(bias).add_(block_input)


def temporal(
    hidden: Tensor,
    known: Moments,
    weights: Residual,
    spatial_share: Tensor,
    *,
    pixels: int | None,
    call: Call,
    check: Check,
) -> Tensor:
    """A temporal residual block and its mix with the spatial one that came before, some pixels at a time.

    With s the spatial block's result and s + r the temporal one's, the mix a s + (1 - a)(s + r) is s + (1 - a) r.
    `hidden` [F, H, W, C] is overwritten; `known` are its moments over time and space, as these norms are;
    `spatial_share` is a.
    """
    frames, height, width, channels = hidden.shape
    positions = hidden.view(frames, height * width, channels)
    total = positions.shape[1]
    inner, known_inner = Whole(total, axis=1), []
    before = affine(known, weights.norm1)
    for some in spans(total, pixels, elements=frames * channels):
        check()
        piece = convolve_normalized((positions[None, :, some],), before, weights.conv1, call=call)
        known_inner.append(call(moments, piece))
        inner.put(some, piece[0])
        del piece
    between = affine(joined(known_inner), weights.norm2, weights.bias1)
    for some in spans(total, pixels, elements=frames * channels):
        check()
        source = inner.tensor[None, :, some]
        piece = convolve_normalized((source,), between, weights.conv2, call=call, in_place=source.is_contiguous())
        call(_mixed_in, positions[:, some], piece[0], weights.bias2, 1.0 - spatial_share)
        del piece
    return hidden


def _mixed_in(values: Tensor, result: Tensor, bias: Tensor, share: Tensor) -> None:
    values.addcmul_(result.add_(bias), share)


def spatial_by_rows(
    hidden: Tensor, weights: Residual, *, rows: int, call: Call, check: Check
) -> tuple[Tensor, Moments]:
    """A spatial residual block, one frame and some rows of it at a time; only input and output are whole.

    Equal to `spatial` with one frame at a time, for images so large that not even one frame's layer fits. `hidden` is
    overwritten where the block keeps its channels.
    """
    frames, height, width, channels = hidden.shape
    out = len(weights.bias1)
    inner = torch.empty((1, height, width, out), dtype=hidden.dtype, device=hidden.device)
    result = hidden if weights.shortcut is None else hidden.new_empty((frames, height, width, out))
    tiles = list(spans(height, rows, elements=width * max(channels, out)))
    known = []
    for frame in spans(frames, 1):
        block_input, made = hidden[frame], result[frame]
        before = affine(joined(call(moments, block_input[:, tile]) for tile in tiles), weights.norm1)
        between = []
        for tile in tiles:
            check()
            source, edges = haloed(block_input, tile)
            inner[:, tile] = convolve_normalized((source,), before, weights.conv1, call=call, **edges)
            between.append(call(moments, inner[:, tile]))
        after = affine(joined(between), weights.norm2, weights.bias1)
        for tile in tiles:
            check()
            source, edges = haloed(inner, tile)
            piece = convolve_normalized((source,), after, weights.conv2, call=call, **edges)
            made[:, tile] = add_past(piece, (block_input[:, tile],), weights, call)
            known.append(call(moments, made[:, tile]))
    return result, joined(known)


def haloed(values: Tensor, tile: slice) -> tuple[Tensor, dict[str, bool]]:
    """Rows of [n, H, W, C] with one more on either side, and the sides at which the image ends instead."""
    top, bottom = tile.start == 0, tile.stop == values.shape[1]
    return values[:, tile.start - (not top) : tile.stop + (not bottom)], {"top": top, "bottom": bottom}
