"""Vision transformer blocks with rotary positions in two dimensions, as DUSt3R's network has them.

Names of modules are those of the released checkpoints, so that their weights load as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ROTARY_BASE = 100.0
_EPSILON = 1e-6


class Rotation:
    """Rotary position embedding of the places of a grid (Su et al. 2021), for each axis half of a head.

    Parameters
    ----------
    rows, columns : int
        Of the grid of patches.
    head_dim : int
        Channels of a head; a multiple of 4. The first half turns by the row, the second by the column.
    device : torch.device
    """

    def __init__(self, rows: int, columns: int, head_dim: int, device: torch.device) -> None:
        half = head_dim // 2
        frequencies = ROTARY_BASE ** (-torch.arange(0, half, 2, device=device, dtype=torch.float32) / half)
        angles = []
        for places in (
            torch.arange(rows, device=device).repeat_interleave(columns),
            torch.arange(columns, device=device).repeat(rows),
        ):
            turned = places[:, None] * frequencies
            angles.append(torch.cat([turned, turned], dim=1))
        whole = torch.cat(angles, dim=1)
        self._cosine, self._sine = whole.cos(), whole.sin()
        self._half = half

    def __call__(self, heads: Tensor) -> Tensor:
        """Turn queries or keys [B, heads, places, head_dim]."""
        pairs = heads.unflatten(-1, (2, 2, self._half // 2))
        swapped = torch.stack([-pairs[..., 1, :], pairs[..., 0, :]], dim=-2).flatten(-3)
        return heads * self._cosine.to(heads.dtype) + swapped * self._sine.to(heads.dtype)


class SelfAttention(nn.Module):
    """Attention among the patches of one picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor, rotation: Rotation) -> Tensor:
        """[B, places, width] to the same."""
        query, key, value = self.qkv(states).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(_attended(rotation(query), rotation(key), value))


class CrossAttention(nn.Module):
    """Attention from the patches of one picture to those of the other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.projq = nn.Linear(width, width)
        self.projk = nn.Linear(width, width)
        self.projv = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor, others: Tensor, rotation: Rotation) -> Tensor:
        """States [B, places, width] that attend to others of the same shape and grid."""
        query, key, value = (
            layer(given).unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for layer, given in ((self.projq, states), (self.projk, others), (self.projv, others))
        )
        return self.proj(_attended(rotation(query), rotation(key), value))


class FeedForward(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        """[..., width] to the same."""
        return self.fc2(functional.gelu(self.fc1(states)))


class EncoderBlock(nn.Module):
    """A block of the encoder, which sees one picture alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = norm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = norm(width)
        self.mlp = FeedForward(width)

    def forward(self, states: Tensor, rotation: Rotation) -> Tensor:
        """[B, places, width] to the same."""
        states = states + self.attn(self.norm1(states), rotation)
        return states + self.mlp(self.norm2(states))


class DecoderBlock(nn.Module):
    """A block of one of the two decoders, which sees its own picture and, through the other's states, the other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = norm(width)
        self.attn = SelfAttention(width, heads)
        self.norm_y = norm(width)
        self.norm2 = norm(width)
        self.cross_attn = CrossAttention(width, heads)
        self.norm3 = norm(width)
        self.mlp = FeedForward(width)

    def forward(self, states: Tensor, others: Tensor, rotation: Rotation) -> Tensor:
        """[B, places, width] to the same."""
        states = states + self.attn(self.norm1(states), rotation)
        states = states + self.cross_attn(self.norm2(states), self.norm_y(others), rotation)
        return states + self.mlp(self.norm3(states))


def norm(width: int) -> nn.LayerNorm:
    """The normalisation of all blocks."""
    return nn.LayerNorm(width, eps=_EPSILON)


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of [B, heads, places, head_dim], the heads joined: [B, places, width]."""
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
