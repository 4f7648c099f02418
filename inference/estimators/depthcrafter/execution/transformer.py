"""Transformers: spatial blocks by frames, temporal blocks by places of the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import gather
from .attention import MOST_SEQUENCES, attend_space, attend_time, feed_forward, normed
from .chunks import Whole, spans
from .compiling import Call
from .gather import Linear, TransformerBlock, Where
from .norm import GroupNorm, affine, moments, normalised
from .plan import Plan


def transformer(
    module: Any,
    hidden: Tensor,
    tokens: Tensor,
    *,
    where: Where,
    plan: Plan,
    call: Call,
    check: Callable[[], None],
) -> Tensor:
    """A TransformerSpatioTemporalModel.

    Parameters
    ----------
    module : TransformerSpatioTemporalModel
    hidden : Tensor [F, H, W, C]
    tokens : Tensor [F, E]
        CLIP's, one a frame. The temporal blocks see only the first of the window.

    Returns
    -------
    Tensor [F, H, W, C]
        A new one.
    """
    frames, height, width, channels = hidden.shape
    given = hidden.view(frames, height * width, channels)
    total = height * width
    heads = module.num_attention_heads
    enter = (gather.group_norm(module.norm, where), gather.linear(module.proj_in, where))
    leave = gather.linear(module.proj_out, where)
    share = gather.spatial_share(module.time_mixer, where)
    sinusoids = module.time_proj(torch.arange(frames, device=where.device)).to(where.dtype)
    position = gather.mlp(module.time_pos_embed, sinusoids, where)[:, None]

    states = Whole(frames)
    pairs = list(zip(module.transformer_blocks, module.temporal_transformer_blocks, strict=True))
    for index, (spatial_module, temporal_module) in enumerate(pairs):
        block = gather.transformer_block(spatial_module, where)
        seen = gather.attended_token(spatial_module.attn2, tokens, where)[:, None]
        widest = len(block.feed_forward.up.weight)
        for some in spans(frames, plan.frames, elements=total * widest, most=MOST_SEQUENCES // heads):
            check()
            piece = states.tensor[some] if index else call(entered, given[some], *enter)
            piece = call(spatial_block, piece, seen[some], block)
            states.put(some, piece)
            del piece
        block = gather.transformer_block(temporal_module, where)
        seen = gather.attended_token(temporal_module.attn2, tokens[:1], where)[0]
        mixed = Whole(total, axis=1, into=states.tensor)
        for some in spans(total, plan.pixels, elements=frames * widest, most=MOST_SEQUENCES // heads):
            check()
            piece = call(temporal_block, states.tensor[:, some], position, seen, block, share)
            if index == len(pairs) - 1:
                piece = call(left, piece, given[:, some], leave)
            mixed.put(some, piece)
            del piece
        states = Whole(frames, into=mixed.tensor)
        del mixed
    return states.tensor.view(hidden.shape)


def entered(values: Tensor, norm: GroupNorm, by: Linear) -> Tensor:
    """GroupNorm of each frame of [n, P, C], and the map into the transformer."""
    whole = normalised((values[:, None],), affine(moments(values), norm), silu=False)
    return functional.linear(whole[:, 0], *by)


def spatial_block(values: Tensor, seen: Tensor, by: TransformerBlock) -> Tensor:
    """Attention among the places of each frame of [n, P, C], what is seen of CLIP's token [n, 1, C], feed-forward."""
    values = attend_space(normed(values, by.norm1), by.attention).add_(values).add_(seen)
    return feed_forward(normed(values, by.norm3), by.feed_forward).add_(values)


def temporal_block(values: Tensor, position: Tensor, seen: Tensor, by: TransformerBlock, share: Tensor) -> Tensor:
    """Attention over the frames of each place of [F, P, C], and the mix with what came in.

    Parameters
    ----------
    values : Tensor [F, P, C]
    position : Tensor [F, 1, C]
        Says which frame is which.
    seen : Tensor [C]
        What is seen of CLIP's token.
    share : Tensor [1]
        Of what came in.
    """
    norm, entrance = by.entrance
    placed = values + position
    states = feed_forward(normed(placed, norm), entrance).add_(placed)
    del placed
    states.add_(attend_time(normed(states, by.norm1), by.attention, seen))
    states = feed_forward(normed(states, by.norm3), by.feed_forward).add_(states)
    return torch.lerp(states, values, share)


def left(values: Tensor, given: Tensor, by: Linear) -> Tensor:
    """The map out of the transformer, and what came into it."""
    return functional.linear(values, *by).add_(given)
