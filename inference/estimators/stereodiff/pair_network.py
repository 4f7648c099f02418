"""The network that sees two pictures and tells where the points of both are (DUSt3R, Wang et al. 2024; MonST3R,
Zhang et al. 2024, is the same network with other weights).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from .dense_head import LEVELS, WIDTH, DenseHead
from .transformer_blocks import DecoderBlock, EncoderBlock, Rotation, norm

PATCH = 16
_HOOKS = (6, 9, 12)
"""The layers of a decoder that its head sees, beside the encoder's result."""

Points = tuple[Tensor, Tensor, Tensor, Tensor]
Check = Callable[[], None]


def _never() -> None:
    """Does not stop."""


class PairNetwork(nn.Module):
    """Two pictures in, the points of both in the first camera's frame out.

    Parameters
    ----------
    encoder_dim, encoder_depth, encoder_heads : int
        Width, blocks and attention heads of the encoder.
    decoder_dim, decoder_depth, decoder_heads : int
        Of each of the two decoders; 12 blocks, for the head looks at the 12th.
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
        """Points of two pictures.

        Parameters
        ----------
        image1, image2 : Tensor [B, 3, H, W]
            -1 to 1; H and W multiples of 16.

        Returns
        -------
        points1 : Tensor [B, H, W, 3]
            Of the first picture, in the first camera's frame: x right, y down, z forward.
        confidences1 : Tensor [B, H, W]
            1 or more.
        points2, confidences2
            Likewise of the second picture, in the **first** camera's frame too.
        """
        return self.decode(self.encode(image1), self.encode(image2), image1.shape[-2], image1.shape[-1])

    def encode(self, image: Tensor, check: Check = _never) -> Tensor:
        """What the encoder sees in pictures [B, 3, H, W], [B, H / 16 * W / 16, encoder_dim].

        It sees each picture alone, so a frame is encoded once for all pairs that it is in. `check` is called between
        layers and may raise to stop.

        Raises
        ------
        ValueError
            The sides are no multiples of 16.
        """
        height, width = image.shape[-2:]
        if height % PATCH or width % PATCH:
            raise ValueError(f"the pictures' sides must be multiples of {PATCH}, not {width}x{height}")
        rotation = Rotation(height // PATCH, width // PATCH, self._head_dims[0], image.device)
        states = self.patch_embed(image)
        for block in self.enc_blocks:
            check()
            states = block(states, rotation)
        return self.enc_norm(states)

    def decode(self, states1: Tensor, states2: Tensor, height: int, width: int, check: Check = _never) -> Points:
        """Points of pairs of encoded pictures; see `forward` and `encode`."""
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
    """Have layers compute in the dtype of their inputs; dry runs on ``meta`` know no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class _Patches(nn.Module):
    """Pictures as rows of patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)
