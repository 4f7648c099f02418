"""Video Depth Anything's network: Depth Anything V2's image model with attention over time in its head.

Chen et al. 2025, *Video Depth Anything: Consistent Depth Estimation for Super-Long Videos* (arXiv 2501.12375). The
encoder is DINOv2's ViT (Oquab et al. 2023), the head DPT's (Ranftl et al. 2021); four temporal modules stand in the
head. Modules bear the names of the released checkpoints, so these load as they are.

Everything but the temporal modules works on one frame by itself, and the temporal modules on one pixel by itself: so
frames and pixels pass through in groups, which bounds the memory and changes no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .windows import PATCH, WINDOW

_GRID = 37  # patches on either side of the images that the position table was learned on
UNUSED = ("pretrained.mask_token", "head.scratch.refinenet4.resConfUnit1")
"""Parts of the released checkpoints that no value passes through."""


@dataclass(frozen=True)
class Variant:
    """The widths of a released network."""

    width: int
    heads: int
    taps: tuple[int, int, int, int]
    features: int
    channels: tuple[int, int, int, int]


VARIANTS = {"vits": Variant(384, 6, (2, 5, 8, 11), 64, (48, 96, 192, 384))}


def _nothing() -> None:
    pass


class VideoDepthAnything(nn.Module):
    """The network, with random weights until a checkpoint is loaded.

    Parameters
    ----------
    encoder : str
        Which of `VARIANTS`.
    metric : bool
        Whether the weights will be those that give depth in meters; the network is the same.

    Attributes
    ----------
    frames_at_once, pixels_at_once : int
        How many go through the parts that treat them one by one: memory against speed, the same values.
    """

    def __init__(self, encoder: str = "vits", metric: bool = False) -> None:
        if encoder not in VARIANTS:
            raise ValueError(f"there is no encoder '{encoder}'; it is one of {', '.join(VARIANTS)}")
        super().__init__()
        variant = VARIANTS[encoder]
        self.metric = metric
        self.frames_at_once, self.pixels_at_once = 4, 4096
        self.pretrained = _Encoder(variant)
        self.head = _Head(variant)

    def in_precision(self, dtype: torch.dtype) -> VideoDepthAnything:
        """Convert the products and convolutions to a dtype, in place.

        As under autocast, with which the network was trained and published: the encoder's sums, norms and positions
        stay in float32, and so do the last convolutions, where half precision would band a smooth floor.
        """
        for module in self.pretrained.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.to(dtype)
        self.head.to(dtype)
        self.head.scratch["output_conv2"].to(torch.float32)
        return self

    def compile_parts(self) -> None:
        """Compile the parts that repeat, each when it is first called; their values stay the same within rounding."""
        for module in self.modules():
            if isinstance(module, (_Block, _Fusion, _TemporalBlock)):
                module.compile()

    def forward(self, frames: Tensor, *, check: Callable[[], None] = _nothing) -> Tensor:
        """Estimate the depth of some frames together.

        Parameters
        ----------
        frames : Tensor [B, T, 3, H, W]
            Less ImageNet's mean, by its deviation; T up to `WINDOW`, H and W multiples of `PATCH`.
        check : callable
            Called between steps; what it raises ends the estimate.

        Returns
        -------
        Tensor [B, T, H, W]
            float32, not negative: disparity up to scale and shift, or depth in meters of a metric network.

        Raises
        ------
        ValueError
            There are too many frames, or their size is no multiple of `PATCH`.
        """
        batch, count, _, height, width = frames.shape
        if not 1 <= count <= WINDOW or height % PATCH or width % PATCH:
            raise ValueError(
                f"{count} frames of {width}x{height} are not 1 to {WINDOW} frames of multiples of {PATCH} pixels"
            )
        levels = [self.levels(group, check=check) for group in torch.split(frames.flatten(0, 1), self.frames_at_once)]
        near = [group[:2] for group in levels]  # stay in groups: the largest, and no temporal module sees them
        third, fourth = (torch.cat([group[index] for group in levels]) for index in (2, 3))
        coarse = self.over_time(third, fourth, near[0][1].shape[2:], batch=batch, check=check)
        maps = [
            self.finish(*group, fused, (height, width), check=check)
            for group, fused in zip(near, torch.split(coarse, self.frames_at_once))
        ]
        return torch.cat(maps).unflatten(0, (batch, count))

    def levels(self, frames: Tensor, *, check: Callable[[], None] = _nothing) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features of frames [N, 3, H, W], each by itself, at 4, 2, 1 and 1/2 times the grid of patches."""
        return self.head.levels(self.pretrained(frames, check=check))

    def over_time(
        self,
        third: Tensor,
        fourth: Tensor,
        size: tuple[int, int] | torch.Size,
        *,
        batch: int = 1,
        check: Callable[[], None] = _nothing,
    ) -> Tensor:
        """Fuse the two coarse levels of windows of frames [B · T, …] into features [B · T, C, *size]."""
        return self.head.over_time(third, fourth, size, batch=batch, at_once=self.pixels_at_once, check=check)

    def finish(
        self,
        first: Tensor,
        second: Tensor,
        fused: Tensor,
        size: tuple[int, int],
        *,
        check: Callable[[], None] = _nothing,
    ) -> Tensor:
        """The maps [N, *size] of some frames, from their two fine levels and what `over_time` gave for them."""
        return self.head.finish(first, second, fused, size, check)


class _Encoder(nn.Module):
    """DINOv2's vision transformer; gives the normalized tokens of four of its blocks as maps."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        width = variant.width
        self.taps = variant.taps
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + _GRID * _GRID, width) * 0.02)
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # unused, see UNUSED
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, stride=PATCH)})
        self.blocks = nn.ModuleList(_Block(width, variant.heads) for _ in range(variant.taps[-1] + 1))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, frames: Tensor, *, check: Callable[[], None] = _nothing) -> list[Tensor]:
        """Tokens of frames [N, 3, H, W], one map [N, C, H/14, W/14] for each tap."""
        grid, dtype = (frames.shape[2] // PATCH, frames.shape[3] // PATCH), next(self.patch_embed.parameters()).dtype
        return [
            tokens[:, 1:].transpose(1, 2).unflatten(2, grid).to(dtype) for tokens in self.tokens(frames, check=check)
        ]

    def tokens(self, frames: Tensor, *, check: Callable[[], None] = _nothing) -> Iterator[Tensor]:
        """Normalized tokens [N, 1 + H/14 · W/14, C] of each tap, the class token first."""
        patches = applied(self.patch_embed["proj"], frames)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        tokens = tokens + self.positions(*patches.shape[2:])
        for index, block in enumerate(self.blocks):
            check()
            tokens = block(tokens)
            if index in self.taps:
                yield self.norm(tokens)

    def positions(self, rows: int, columns: int) -> Tensor:
        """The position table for a grid of patches [1, 1 + rows · columns, C].

        It is resized by factors and not to a size, a tenth of a patch beyond the grid: so the network was trained.
        """
        if (rows, columns) == (_GRID, _GRID):
            return self.pos_embed
        table = self.pos_embed.float()
        grid = table[:, 1:].transpose(1, 2).unflatten(2, (_GRID, _GRID))
        factors = ((rows + 0.1) / _GRID, (columns + 0.1) / _GRID)
        grid = functional.interpolate(grid, scale_factor=factors, mode="bicubic", align_corners=False)
        return torch.cat((table[:, :1], grid.flatten(2).transpose(1, 2)), dim=1)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls2 = _Scale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        split = applied(self.attn["qkv"], self.norm1(tokens)).unflatten(2, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        tokens = tokens + self.ls1(self.attn["proj"](mixed))
        return tokens + self.ls2(self.mlp["fc2"](functional.gelu(applied(self.mlp["fc1"], self.norm2(tokens)))))


class _Scale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.gamma


class _Head(nn.Module):
    """DPT's head: tokens of four depths become features at four sizes, and these one map."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        channels, features = variant.channels, variant.features
        self.projects = nn.ModuleList(nn.Conv2d(variant.width, each, 1) for each in channels)
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            )
        )
        self.scratch = nn.ModuleDict(
            {f"layer{i + 1}_rn": nn.Conv2d(each, features, 3, padding=1, bias=False) for i, each in enumerate(channels)}
            | {f"refinenet{i + 1}": _Fusion(features) for i in range(4)}
            | {"output_conv1": nn.Conv2d(features, features // 2, 3, padding=1)}
        )
        self.scratch["output_conv2"] = nn.Sequential(
            nn.Conv2d(features // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.ReLU()
        )
        self.motion_modules = nn.ModuleList(_Temporal(each) for each in (*channels[2:], features, features))

    def levels(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See `VideoDepthAnything.levels`; from the encoder's maps."""
        first, second, third, fourth = (
            resize(project(each)) for each, project, resize in zip(maps, self.projects, self.resize_layers)
        )
        return first, second, third, fourth

    def over_time(
        self,
        third: Tensor,
        fourth: Tensor,
        size: tuple[int, int] | torch.Size,
        *,
        batch: int,
        at_once: int,
        check: Callable[[], None],
    ) -> Tensor:
        """See `VideoDepthAnything.over_time`; `at_once` pixels at a time."""

        def temporal(index: int, features: Tensor) -> Tensor:
            return self.motion_modules[index](features, batch, at_once, check)

        third, fourth = temporal(0, third), temporal(1, fourth)
        third, fourth = self.scratch["layer3_rn"](third), self.scratch["layer4_rn"](fourth)
        fused = temporal(2, self.scratch["refinenet4"](fourth, None, third.shape[2:]))
        return temporal(3, self.scratch["refinenet3"](fused, third, size))

    def finish(
        self, first: Tensor, second: Tensor, fused: Tensor, size: tuple[int, int], check: Callable[[], None]
    ) -> Tensor:
        """See `VideoDepthAnything.finish`."""
        check()
        fused = self.scratch["refinenet2"](fused, self.scratch["layer2_rn"](second), first.shape[2:])
        check()
        double = (2 * first.shape[2], 2 * first.shape[3])
        fused = self.scratch["refinenet1"](fused, self.scratch["layer1_rn"](first), double)
        check()
        features = resized(self.scratch["output_conv1"](fused), size)
        return self.scratch["output_conv2"](features.float()).squeeze(1)


class _Fusion(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        self.resConfUnit1 = _Unit(features)
        self.resConfUnit2 = _Unit(features)

    def forward(self, fused: Tensor, level: Tensor | None, size: tuple[int, int]) -> Tensor:
        if level is not None:
            fused = fused + self.resConfUnit1(level)
        return self.out_conv(resized(self.resConfUnit2(fused), size))


class _Unit(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv2(functional.relu(self.conv1(functional.relu(features))))


class _Temporal(nn.Module):
    """Attention along the frames, for each pixel by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal_transformer = nn.ModuleDict(
            {
                "norm": nn.GroupNorm(32, channels, eps=1e-6),
                "proj_in": nn.Linear(channels, channels),
                "transformer_blocks": nn.ModuleList([_TemporalBlock(channels)]),
                "proj_out": nn.Linear(channels, channels),
            }
        )
        for parameter in self.temporal_transformer["proj_out"].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, batch: int, at_once: int, check: Callable[[], None] = _nothing) -> Tensor:
        """Features [B · T, C, h, w], the frames of a clip in a row; `at_once` pixels at a time."""
        parts = self.temporal_transformer
        (block,) = cast("nn.ModuleList", parts["transformer_blocks"])
        normed = parts["norm"](features).unflatten(0, (batch, -1)).permute(0, 3, 4, 1, 2)  # [B, h, w, T, C]
        pixels = normed.flatten(0, 2)
        mixed = torch.empty_like(pixels)
        for source, target in zip(torch.split(pixels, at_once), torch.split(mixed, at_once)):
            check()
            target.copy_(parts["proj_out"](block(parts["proj_in"](source))))
        return features + mixed.unflatten(0, normed.shape[:3]).permute(0, 3, 4, 1, 2).flatten(0, 1)


class _TemporalBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(_TemporalAttention(channels) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.ff = _FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms):
            tokens = tokens + attention(norm(tokens))
        return tokens + self.ff(self.ff_norm(tokens))


class _FeedForward(nn.Module):
    """A gated layer (Shazeer 2020, *GLU Variants Improve Transformer*, GEGLU); its names are diffusers'."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        gated = nn.ModuleDict({"proj": nn.Linear(channels, 8 * channels)})
        self.net = nn.ModuleDict({"0": gated, "2": nn.Linear(4 * channels, channels)})

    def forward(self, tokens: Tensor) -> Tensor:
        gated = cast("nn.ModuleDict", self.net["0"])
        values, gates = gated["proj"](tokens).chunk(2, dim=-1)
        return cast("Tensor", self.net["2"](values * functional.gelu(gates)))


class _TemporalAttention(nn.Module):
    _HEADS = 8

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.pos_encoder = _TimeCode(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [pixels, T, C]; the code of time is in the values too."""
        coded = self.pos_encoder(tokens)
        queries, keys, values = (
            project(coded).unflatten(2, (self._HEADS, -1)).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class _TimeCode(nn.Module):
    """Adds sines and cosines of the frame's place in the window (Vaswani et al. 2017, section 3.5)."""

    pe: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        angles = torch.arange(WINDOW)[:, None] * 10000.0 ** (-torch.arange(0, channels, 2) / channels)
        self.register_buffer("pe", torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)[None])

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.pe[:, : tokens.shape[1]]


def applied(layer: nn.Module, values: Tensor) -> Tensor:
    """A layer on values that may have another precision than it."""
    return cast("Tensor", layer(values.to(next(layer.parameters()).dtype)))


def resized(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Features [N, C, h, w] at another size (height, width), corner on corner."""
    return functional.interpolate(features, size, mode="bilinear", align_corners=True)
