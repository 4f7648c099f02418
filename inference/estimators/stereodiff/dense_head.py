"""From patches to pixels: a dense prediction transformer's head (Ranftl et al. 2021), as DUSt3R has two of.

Names of modules are those of the released checkpoints, so that their weights load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = (96, 192, 384, 768)
"""Channels of the four levels, from 4 times the patches' resolution to half of it."""
WIDTH = 256
"""Channels in which they are joined."""


class DenseHead(nn.Module):
    """Points and confidences of every pixel of one picture.

    Parameters
    ----------
    widths : sequence of int
        Channels of the four states that it takes.
    levels : sequence of int
        Of the four levels, see `LEVELS`.
    width : int
        See `WIDTH`.
    """

    def __init__(self, widths: Sequence[int], *, levels: Sequence[int] = LEVELS, width: int = WIDTH) -> None:
        super().__init__()
        self.dpt = _Pyramid(widths, levels, width)

    def forward(self, states: Sequence[Tensor], rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Points and confidences.

        Parameters
        ----------
        states : four of Tensor [B, rows * columns, width]
        rows, columns : int
            Of the grid of patches.

        Returns
        -------
        points : Tensor [B, H, W, 3]
        confidences : Tensor [B, H, W]
            1 or more.
        """
        values = self.dpt(states, rows, columns).permute(0, 2, 3, 1)
        direction, certainty = values[..., :3], values[..., 3]
        length = direction.norm(dim=-1, keepdim=True)
        # the network tells the logarithm of one plus the distance
        return direction / length.clamp(min=1e-8) * torch.expm1(length), 1 + torch.exp(certainty)


class _Pyramid(nn.Module):
    def __init__(self, widths: Sequence[int], levels: Sequence[int], width: int) -> None:
        super().__init__()
        narrow = width // 2
        first, second, third, fourth = (nn.Conv2d(given, level, 1) for given, level in zip(widths, levels))
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
        fused = self.scratch.refinenet4(levels[3])[:, :, :height, :width]  # odd grids come back a line too large
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
    """Joins a coarser level, made finer, with the next."""

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

    def forward(self, given: Tensor) -> Tensor:
        return given + self.conv2(functional.relu(self.conv1(functional.relu(given))))


class _Doubling(nn.Module):
    def forward(self, given: Tensor) -> Tensor:
        return _doubled(given)


def _doubled(given: Tensor) -> Tensor:
    return functional.interpolate(given, scale_factor=2, mode="bilinear", align_corners=True)
