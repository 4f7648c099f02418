"""Attention and feed-forward layers on tokens [n, tokens, channels], without a copy beyond what they compute."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from .compiling import Call
from .gather import Attention, FeedForward, LayerNorm

MOST_SEQUENCES = 65535
"""Sequences times heads of one attention: what the grid of PyTorch's attention kernels holds (pytorch#142228)."""


def normed(values: Tensor, by: LayerNorm) -> Tensor:
    """LayerNorm over the channels."""
    return functional.layer_norm(values, values.shape[-1:], by.weight, by.bias, by.eps)


def attend_space(values: Tensor, by: Attention) -> Tensor:
    """Self-attention of the places [n, P, C] of each picture."""
    count, places, channels = values.shape
    query, key, value = functional.linear(values, *by.joint).view(count, places, 3, by.heads, -1).unbind(2)
    # [n, heads, P, width], as views
    result = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return functional.linear(result.transpose(1, 2).reshape(count, places, channels), *by.out)


def attend_time(values: Tensor, by: Attention, more: Tensor) -> Tensor:
    """Self-attention over the frames of each place of [F, P, C].

    Parameters
    ----------
    more : Tensor [C]
        Added to every token's result.

    Returns
    -------
    Tensor [F, P, C]
        Perhaps a view of one whose places come first.
    """
    frames, places, _ = values.shape
    query, key, value = functional.linear(values, *by.joint).view(frames, places, 3, by.heads, -1).unbind(2)
    order = (1, 2, 0, 3)  # [P, heads, F, width], as views
    result = functional.scaled_dot_product_attention(query.permute(order), key.permute(order), value.permute(order))
    bias = more if by.out.bias is None else by.out.bias + more
    return projected(result, by.out.weight, bias)


def projected(result: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Map attention's result [P, heads, F, width] to [F, P, C] in the order that its kernel has left it in memory.

    Some kernels lay it out as the query was, frames first, others with the sequence inside.
    """
    first = result.permute(2, 0, 1, 3)
    if first.is_contiguous():
        return functional.linear(first.flatten(2), weight, bias)
    return functional.linear(result.transpose(1, 2).flatten(2), weight, bias).transpose(0, 1)


def feed_forward(values: Tensor, by: FeedForward, call: Call) -> Tensor:
    """Linear map, gated GELU, linear map."""
    return functional.linear(call(_gated, functional.linear(values, *by.up)), *by.down)


def _gated(both: Tensor) -> Tensor:
    kept, gates = both.chunk(2, dim=-1)
    return functional.gelu(gates).mul_(kept)
