"""The pair network: point maps of two images (DUSt3R, Wang et al. 2024; MonST3R, Zhang et al. 2024, is the same
network with other weights).

Vision transformer blocks with rotary positions in two dimensions encode and decode the images' patches; two heads of a
dense prediction transformer (Ranftl et al. 2021) turn them into pixels. Names of modules are
those of the released checkpoints, so that their weights load as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 16
_HOOKS = (6, 9, 12)
"""The layers of a decoder that its head uses, beside the encoder's result."""
Points = tuple[Tensor, Tensor, Tensor, Tensor]
Check = Callable[[], None]
ROTARY_BASE = 100.0
_EPSILON = 1e-6
LEVELS = (96, 192, 384, 768)
"""Channels of the four levels, from 4 times the patches' resolution to half of it."""
WIDTH = 256
"""Channels in which the levels are fused."""


def _never() -> None:
    """Never cancels."""


class PairNetwork(nn.Module):
    """Two images in, the points of both in the first camera's frame out.

    Parameters
    ----------
    encoder_dim, encoder_depth, encoder_heads : int
        Width, blocks and attention heads of the encoder.
    decoder_dim, decoder_depth, decoder_heads : int
        Of each of the two decoders; 12 blocks, since the head uses the 12th.
    head_levels, head_width
        See `DenseHead`.
    """

    def __init__(
        self,
        *,
        encoder_dim: int = 1024,
        encoder_depth: int = 24,
        encoder_heads: int = 16,
        decoder_dim: int = 768,
        decoder_depth: int = 12,
        decoder_heads: int = 12,
        head_levels: Sequence[int] = LEVELS,
        head_width: int = WIDTH,
    ) -> None:
        super().__init__()
        if decoder_depth != _HOOKS[-1]:
            raise ValueError(f"the decoders must have {_HOOKS[-1]} blocks, not {decoder_depth}")
        self._head_dims = encoder_dim // encoder_heads, decoder_dim // decoder_heads
        self.patch_embed = _Patches(encoder_dim)
        self.enc_blocks = nn.ModuleList([EncoderBlock(encoder_dim, encoder_heads) for _ in range(encoder_depth)])
        self.enc_norm = norm(encoder_dim)
        self.decoder_embed = nn.Linear(encoder_dim, decoder_dim)
        self.dec_blocks = nn.ModuleList([DecoderBlock(decoder_dim, decoder_heads) for _ in range(decoder_depth)])
        self.dec_blocks2 = nn.ModuleList([DecoderBlock(decoder_dim, decoder_heads) for _ in range(decoder_depth)])
        self.dec_norm = norm(decoder_dim)
        widths = (encoder_dim, *(decoder_dim for _ in _HOOKS))
        self.downstream_head1 = DenseHead(widths, levels=head_levels, width=head_width)
        self.downstream_head2 = DenseHead(widths, levels=head_levels, width=head_width)

    def forward(self, image1: Tensor, image2: Tensor) -> Points:
        """Points of two images.

        Parameters
        ----------
        image1, image2 : Tensor [B, 3, H, W]
            -1 to 1; H and W multiples of 16.

        Returns
        -------
        points1 : Tensor [B, H, W, 3]
            Of the first image, in the first camera's frame: x right, y down, z forward.
        confidences1 : Tensor [B, H, W]
            1 or more.
        points2, confidences2
            Likewise of the second image, in the **first** camera's frame too.
        """
        return self.decode(self.encode(image1), self.encode(image2), image1.shape[-2], image1.shape[-1])

    def encode(self, image: Tensor, check: Check = _never) -> Tensor:
        """The encoder's states [B, H / 16 * W / 16, encoder_dim] of images [B, 3, H, W]; H and W are multiples of 16.

        Each image is encoded alone, so a frame is encoded once for all its pairs. `check` is called between layers and
        may raise to cancel.
        """
        height, width = image.shape[-2:]
        if height % PATCH or width % PATCH:
            raise ValueError(f"the images' sides must be multiples of {PATCH}, not {width}x{height}")
        rotation = Rotation(height // PATCH, width // PATCH, self._head_dims[0], image.device)
        states = self.patch_embed(image)
        for block in self.enc_blocks:
            check()
            states = block(states, rotation)
        return self.enc_norm(states)

    def decode(self, states1: Tensor, states2: Tensor, height: int, width: int, check: Check = _never) -> Points:
        """Points of pairs of encoded images; see `forward` and `encode`."""
        rows, columns = height // PATCH, width // PATCH
        rotation = Rotation(rows, columns, self._head_dims[1], states1.device)
        first, second = self.decoder_embed(states1), self.decoder_embed(states2)
        seen1, seen2 = [states1], [states2]
        for index, (block1, block2) in enumerate(zip(self.dec_blocks, self.dec_blocks2), start=1):
            check()
            # both from the layer before: the two decoders run side by side
            first, second = block1(first, second, rotation), block2(second, first, rotation)
            if index in _HOOKS:
                last = index == _HOOKS[-1]
                seen1.append(self.dec_norm(first) if last else first)
                seen2.append(self.dec_norm(second) if last else second)
        # exponentials: in half precision far points would overflow
        with _without_autocast(states1.device):
            check()
            points1, confidences1 = self.downstream_head1([state.float() for state in seen1], rows, columns)
            check()
            points2, confidences2 = self.downstream_head2([state.float() for state in seen2], rows, columns)
        return points1, confidences1, points2, confidences2


def _without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Let layers compute in the dtype of their inputs; ``meta``, of dry runs, has no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class _Patches(nn.Module):
    """Images as rows of patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class Rotation:
    """Rotary position embedding of a grid of patches (Su et al. 2021).

    The first half of a head's channels, a multiple of 4, is rotated by the row, the second by the column.
    """

    def __init__(self, rows: int, columns: int, head_dim: int, device: torch.device) -> None:
        half = head_dim // 2
        frequencies = ROTARY_BASE ** (-torch.arange(0, half, 2, device=device, dtype=torch.float32) / half)
        angles = []
        for positions in (
            torch.arange(rows, device=device).repeat_interleave(columns),
            torch.arange(columns, device=device).repeat(rows),
        ):
            turned = positions[:, None] * frequencies
            angles.append(torch.cat([turned, turned], dim=1))
        whole = torch.cat(angles, dim=1)
        self._cosine, self._sine = whole.cos(), whole.sin()
        self._half = half

    def __call__(self, heads: Tensor) -> Tensor:
        """Rotate queries or keys [B, heads, patches, head_dim]."""
        pairs = heads.unflatten(-1, (2, 2, self._half // 2))
        swapped = torch.stack([-pairs[..., 1, :], pairs[..., 0, :]], dim=-2).flatten(-3)
        return heads * self._cosine.to(heads.dtype) + swapped * self._sine.to(heads.dtype)


class SelfAttention(nn.Module):
    """Attention among the patches of one image."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor, rotation: Rotation) -> Tensor:
        """[B, patches, width] to the same."""
        query, key, value = self.qkv(states).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(_attended(rotation(query), rotation(key), value))


class CrossAttention(nn.Module):
    """Attention from the patches of one image to those of the other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.projq = nn.Linear(width, width)
        self.projk = nn.Linear(width, width)
        self.projv = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor, others: Tensor, rotation: Rotation) -> Tensor:
        """States [B, patches, width] that attend to others of the same shape and grid."""
        query, key, value = (
            layer(inputs).unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for layer, inputs in ((self.projq, states), (self.projk, others), (self.projv, others))
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
    """A block of the encoder, which sees one image alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = norm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = norm(width)
        self.mlp = FeedForward(width)

    def forward(self, states: Tensor, rotation: Rotation) -> Tensor:
        """[B, patches, width] to the same."""
        states = states + self.attn(self.norm1(states), rotation)
        return states + self.mlp(self.norm2(states))


class DecoderBlock(nn.Module):
    """A block of one of the two decoders, which sees its own image and, through the other's states, the other."""

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
        """[B, patches, width] to the same."""
        states = states + self.attn(self.norm1(states), rotation)
        states = states + self.cross_attn(self.norm2(states), self.norm_y(others), rotation)
        return states + self.mlp(self.norm3(states))


def norm(width: int) -> nn.LayerNorm:
    """The normalization of all blocks."""
    return nn.LayerNorm(width, eps=_EPSILON)


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of [B, heads, patches, head_dim], with the heads joined: [B, patches, width]."""
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class DenseHead(nn.Module):
    """Points and confidences of every pixel of one image, from four states of some widths; see `LEVELS`, `WIDTH`."""

    def __init__(self, widths: Sequence[int], *, levels: Sequence[int] = LEVELS, width: int = WIDTH) -> None:
        super().__init__()
        self.dpt = _Pyramid(widths, levels, width)

    def forward(self, states: Sequence[Tensor], rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Points [B, H, W, 3] and confidences [B, H, W], 1 or more, from four states [B, rows * columns, width]."""
        values = self.dpt(states, rows, columns).permute(0, 2, 3, 1)
        direction, certainty = values[..., :3], values[..., 3]
        length = direction.norm(dim=-1, keepdim=True)
        # the network predicts the logarithm of one plus the distance
        return direction / length.clamp(min=1e-8) * torch.expm1(length), 1 + torch.exp(certainty)


class _Pyramid(nn.Module):
    def __init__(self, widths: Sequence[int], levels: Sequence[int], width: int) -> None:
        super().__init__()
        narrow = width // 2
        first, second, third, fourth = (nn.Conv2d(inputs, level, 1) for inputs, level in zip(widths, levels))
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(first, nn.ConvTranspose2d(levels[0], levels[0], 4, stride=4)),
                nn.Sequential(second, nn.ConvTranspose2d(levels[1], levels[1], 2, stride=2)),
                nn.Sequential(third),
                nn.Sequential(fourth, nn.Conv2d(levels[3], levels[3], 3, stride=2, padding=1)),
            ]
        )
        self.scratch = _Fusions(levels, width)
        self.head = nn.Sequential(
            nn.Conv2d(width, narrow, 3, padding=1),
            _Doubling(),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, 4, 1),
        )

    def forward(self, states: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        levels = [
            self.scratch.layer_rn[index](process(state.transpose(1, 2).unflatten(2, (rows, columns))))
            for index, (process, state) in enumerate(zip(self.act_postprocess, states))
        ]
        height, width = levels[2].shape[-2:]
        fused = self.scratch.refinenet4(levels[3])[:, :, :height, :width]  # odd grids come back one line too large
        fused = self.scratch.refinenet3(fused, levels[2])
        fused = self.scratch.refinenet2(fused, levels[1])
        return self.head(self.scratch.refinenet1(fused, levels[0]))


class _Fusions(nn.Module):
    def __init__(self, levels: Sequence[int], width: int) -> None:
        super().__init__()
        self.layer_rn = nn.ModuleList([nn.Conv2d(level, width, 3, padding=1, bias=False) for level in levels])
        self.refinenet1 = _Fusion(width)
        self.refinenet2 = _Fusion(width)
        self.refinenet3 = _Fusion(width)
        self.refinenet4 = _Fusion(width)


class _Fusion(nn.Module):
    """Fuses a coarser level, upsampled, with the next."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resConfUnit1 = _Residual(width)
        self.resConfUnit2 = _Residual(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, coarse: Tensor, fine: Tensor | None = None) -> Tensor:
        joined = coarse if fine is None else coarse + self.resConfUnit1(fine)
        return self.out_conv(_doubled(self.resConfUnit2(joined)))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.conv2(functional.relu(self.conv1(functional.relu(inputs))))


class _Doubling(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return _doubled(inputs)


def _doubled(inputs: Tensor) -> Tensor:
    return functional.interpolate(inputs, scale_factor=2, mode="bilinear", align_corners=True)
