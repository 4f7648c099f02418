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
_WIDTH, _NARROW = 256, 128


class DenseHead(nn.Module):
    """Points and confidences of every pixel of one picture.

    Parameters
    ----------
    widths : sequence of int
        Channels of the four states that it takes.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.dpt = _Pyramid(widths)

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
    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        first, second, third, fourth = (nn.Conv2d(width, level, 1) for width, level in zip(widths, LEVELS))
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(first, nn.ConvTranspose2d(LEVELS[0], LEVELS[0], 4, stride=4)),
                nn.Sequential(second, nn.ConvTranspose2d(LEVELS[1], LEVELS[1], 2, stride=2)),
                nn.Sequential(third),
                nn.Sequential(fourth, nn.Conv2d(LEVELS[3], LEVELS[3], 3, stride=2, padding=1)),
            ]
        )
        self.scratch = _Fusions()
        self.head = nn.Sequential(
            nn.Conv2d(_WIDTH, _NARROW, 3, padding=1),
            _Doubling(),
            nn.Conv2d(_NARROW, _NARROW, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_NARROW, 4, 1),
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
    def __init__(self) -> None:
        super().__init__()
        self.layer_rn = nn.ModuleList([nn.Conv2d(level, _WIDTH, 3, padding=1, bias=False) for level in LEVELS])
        self.refinenet1 = _Fusion()
        self.refinenet2 = _Fusion()
        self.refinenet3 = _Fusion()
        self.refinenet4 = _Fusion()


class _Fusion(nn.Module):
    """Joins a coarser level, made finer, with the next."""

    def __init__(self) -> None:
        super().__init__()
        self.resConfUnit1 = _Residual()
        self.resConfUnit2 = _Residual()
        self.out_conv = nn.Conv2d(_WIDTH, _WIDTH, 1)

    def forward(self, coarse: Tensor, fine: Tensor | None = None) -> Tensor:
        joined = coarse if fine is None else coarse + self.resConfUnit1(fine)
        return self.out_conv(_doubled(self.resConfUnit2(joined)))


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.conv2 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)

    def forward(self, given: Tensor) -> Tensor:
        return given + self.conv2(functional.relu(self.conv1(functional.relu(given))))


class _Doubling(nn.Module):
    def forward(self, given: Tensor) -> Tensor:
        return _doubled(given)


def _doubled(given: Tensor) -> Tensor:
    return functional.interpolate(given, scale_factor=2, mode="bilinear", align_corners=True)
