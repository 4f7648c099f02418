"""Transformers: spatial blocks by frames, temporal blocks by pixels.

Attention and feed-forward layers work on tokens [n, tokens, channels], without extra copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import layer_weights
from .compiling import Call
from .layer_weights import Attention, FeedForward, LayerNorm, Linear, TransformerBlock, Where
from .norm import GroupNorm, affine, moments, normalized
from .pieces import Whole, spans

MOST_SEQUENCES = 65535
"""Sequences times heads of one attention: the grid limit of PyTorch's attention kernels (pytorch#142228)."""


def transformer(
    module: Any,
    hidden: Tensor,
    tokens: Tensor,
    *,
    where: Where,
    frames: int | None,
    pixels: int | None,
    call: Call,
    check: Callable[[], None],
) -> Tensor:
    """A TransformerSpatioTemporalModel on [F, H, W, C]; returns a new tensor.

    `tokens` [F, E] are CLIP's, one a frame; the temporal blocks see only the first of the window. A spatial block takes
    so many `frames` at a time, a temporal block so many `pixels`.
    """
    length, height, width, channels = hidden.shape
    inputs = hidden.view(length, height * width, channels)
    total = height * width
    heads = module.num_attention_heads
    enter = (layer_weights.group_norm(module.norm, where), layer_weights.linear(module.proj_in, where))
    leave = layer_weights.linear(module.proj_out, where)
    share = layer_weights.spatial_share(module.time_mixer, where)
    sinusoids = module.time_proj(torch.arange(length, device=where.device)).to(where.dtype)
    position = layer_weights.mlp(module.time_pos_embed, sinusoids, where)[:, None]

    states = Whole(length)
    pairs = list(zip(module.transformer_blocks, module.temporal_transformer_blocks, strict=True))
    for index, (spatial_module, temporal_module) in enumerate(pairs):
        block = layer_weights.transformer_block(spatial_module, where)
        seen = layer_weights.attended_token(spatial_module.attn2, tokens, where)[:, None]
        widest = len(block.feed_forward.up.weight)
        for some in spans(length, frames, elements=total * widest, most=MOST_SEQUENCES // heads):
            check()
            piece = states.tensor[some] if index else entered(inputs[some], *enter, call)
            piece = spatial_block(piece, seen[some], block, call)
            states.put(some, piece)
            del piece
        block = layer_weights.transformer_block(temporal_module, where)
        seen = layer_weights.attended_token(temporal_module.attn2, tokens[:1], where)[0]
        mixed = Whole(total, axis=1, into=states.tensor)
        for some in spans(total, pixels, elements=length * widest, most=MOST_SEQUENCES // heads):
            check()
            piece = temporal_block(states.tensor[:, some], position, seen, block, share=share, call=call)
            if index == len(pairs) - 1:
                piece = functional.linear(piece, *leave).add_(inputs[:, some])
            mixed.put(some, piece)
            del piece
        states = Whole(length, into=mixed.tensor)
        del mixed
    return states.tensor.view(hidden.shape)


def entered(values: Tensor, norm: GroupNorm, by: Linear, call: Call) -> Tensor:
    """GroupNorm of each frame of [n, P, C], and the map into the transformer."""
    values = values[:, None]
    whole = call(normalized, (values,), *affine(call(moments, values), norm), silu=False)
    return functional.linear(whole[:, 0], *by)


def spatial_block(values: Tensor, seen: Tensor, by: TransformerBlock, call: Call) -> Tensor:
    """Attention among the pixels of each frame of [n, P, C], attended CLIP token `seen` [n, 1, C], feed-forward."""
    result = attend_space(normed(values, by.norm1), by.attention)
    result, rest = call(_added_and_normed, result, values, seen, by.norm3)
    return feed_forward(rest, by.feed_forward, call).add_(result)


def temporal_block(
    values: Tensor, position: Tensor, seen: Tensor, by: TransformerBlock, *, share: Tensor, call: Call
) -> Tensor:
    """Attention over the frames of each pixel of [F, P, C], mixed with the block's input.

    `position` [F, 1, C] has the embeddings of the frames' positions, `seen` [C] is the attended CLIP token, and `share`
    [1] that of the input in the mix.
    """
    norm, entrance = by.entrance
    placed = values + position
    states = feed_forward(normed(placed, norm), entrance, call)
    states, rest = call(_added_and_normed, states, placed, None, by.norm1)
    del placed
    states, rest = call(_added_and_normed, states, attend_time(rest, by.attention, seen), None, by.norm3)
    return call(_mixed, feed_forward(rest, by.feed_forward, call), states, values, share)


def _added_and_normed(result: Tensor, inputs: Tensor, seen: Tensor | None, by: LayerNorm) -> tuple[Tensor, Tensor]:
    """A layer's result with its input added in place, and the LayerNorm of the sum."""
    result.add_(inputs)
    if seen is not None:
        result.add_(seen)
    return result, normed(result, by)


def _mixed(result: Tensor, states: Tensor, values: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(result.add_(states), values, share)


def normed(values: Tensor, by: LayerNorm) -> Tensor:
    """LayerNorm over the channels."""
    return functional.layer_norm(values, values.shape[-1:], by.weight, by.bias, by.eps)


def attend_space(values: Tensor, by: Attention) -> Tensor:
    """Self-attention among the pixels [n, P, C] of each image."""
    count, positions, channels = values.shape
    query, key, value = functional.linear(values, *by.joint).view(count, positions, 3, by.heads, -1).unbind(2)
    # [n, heads, P, width], as views
    result = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return functional.linear(result.transpose(1, 2).reshape(count, positions, channels), *by.out)


def attend_time(values: Tensor, by: Attention, more: Tensor) -> Tensor:
    """Self-attention over the frames of each pixel of [F, P, C]; `more` [C] is added to every token's result.

    The result may be a view of a tensor whose pixels come first.
    """
    frames, positions, _ = values.shape
    query, key, value = functional.linear(values, *by.joint).view(frames, positions, 3, by.heads, -1).unbind(2)
    order = (1, 2, 0, 3)  # [P, heads, F, width], as views
    result = functional.scaled_dot_product_attention(query.permute(order), key.permute(order), value.permute(order))
    bias = more if by.out.bias is None else by.out.bias + more
    return projected(result, by.out.weight, bias)


def projected(result: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Map attention's result [P, heads, F, width] to [F, P, C] in the kernel's own memory layout.

    Some kernels keep the query's layout, frames first; others put the sequence inside.
    """
    first = result.permute(2, 0, 1, 3)
    if first.is_contiguous():
        return functional.linear(first.flatten(2), weight, bias)
    return functional.linear(result.transpose(1, 2).flatten(2), weight, bias).transpose(0, 1)


def feed_forward(values: Tensor, by: FeedForward, call: Call) -> Tensor:
    """Linear map, gated GELU, linear map."""
    return functional.linear(call(_gated, functional.linear(values, *by.up)), *by.down)


def _gated(both: Tensor) -> Tensor:
    values, gates = both.chunk(2, dim=-1)
    return functional.gelu(gates).mul_(values)
