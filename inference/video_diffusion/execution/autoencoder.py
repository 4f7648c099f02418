"""The autoencoder in pieces: frames are encoded a few at a time, chunks are decoded by rows of the image.

Decoding by rows is exact: each layer is computed for the whole image before the next one begins, so that tiles
need only the one row of halo of that layer's own convolution, and GroupNorms see the whole image in two passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import layer_weights, resnet
from .compiling import Call, caller
from .convolution import Convolution, convolve, convolve_normalized, convolve_rows, double
from .layer_weights import Attention, Where
from .norm import GroupNorm, affine, joined, moments, normalized
from .pieces import Whole, spans
from .plan import Plan
from .transformer import attend_space

Check = Callable[[], None]


@torch.inference_mode()
def encode(vae: Any, pixels: Tensor, *, plan: Plan | None = None, check: Check = lambda: None) -> Tensor:
    """The mode [n, 4, H/8, W/8] of each frame's latent distribution, not scaled.

    `pixels` [n, 3, H, W] are -1 to 1, in the dtype of the computation: float32, whatever the weights' dtype is. `check`
    is called between layers and raises to cancel.
    """
    plan = plan or Plan()
    where = Where(pixels.device, pixels.dtype)
    with caller(plan) as call:
        pieces = [
            _encode(vae, pixels[some].permute(0, 2, 3, 1).contiguous(), where, call, check)
            for some in spans(len(pixels), plan.encode_frames)
        ]
    return torch.cat(pieces).permute(0, 3, 1, 2).contiguous()


@torch.inference_mode()
def decode(vae: Any, latents: Tensor, *, plan: Plan | None = None, check: Check = lambda: None) -> Tensor:
    """Decode one chunk of frames [n, 4, h, w], divided by the scaling factor, which temporal layers see together.

    The result [n, 3, 8 h, 8 w] is not clamped, and in the dtype of the decoder's weights. `check` is called between
    pieces and raises to cancel.
    """
    plan = plan or Plan()
    where = Where(latents.device, vae.decoder.conv_in.weight.dtype)
    with caller(plan) as call:
        walk = _Decoder(where(latents).permute(0, 2, 3, 1).contiguous(), where, plan.decoder_rows, call, check)
        walk.through(vae.decoder)
        return walk.hidden.permute(0, 3, 1, 2).contiguous()


def _encode(vae: Any, hidden: Tensor, where: Where, call: Call, check: Check) -> Tensor:
    """Frames [n, H, W, 3] to the means [n, H/8, W/8, 4]."""
    encoder = vae.encoder

    def block(module: Any, hidden: Tensor) -> Tensor:
        weights = layer_weights.residual(module, where)
        return resnet.spatial(hidden, None, weights, frames=None, call=call, check=check)[0]

    hidden = convolve(hidden, layer_weights.convolution(encoder.conv_in, where))
    for down in encoder.down_blocks:
        for module in down.resnets:
            hidden = block(module, hidden)
        for module in down.downsamplers or ():
            check()
            # one row and column of zeros, on the far sides only
            hidden = functional.pad(hidden, (0, 0, 0, 1, 0, 1))
            hidden = convolve(hidden, layer_weights.convolution(module.conv, where), stride=2, padding=(0, 0))
    first, *others = encoder.mid_block.resnets
    hidden = block(first, hidden)
    for module, other in zip(encoder.mid_block.attentions, others, strict=True):
        check()
        hidden = attended(
            hidden, layer_weights.group_norm(module.group_norm, where), layer_weights.attention(module, where), call
        )
        hidden = block(other, hidden)
    norm = affine(call(moments, hidden), layer_weights.group_norm(encoder.conv_norm_out, where))
    by = layer_weights.convolution(encoder.conv_out, where)
    hidden = convolve_normalized((hidden,), norm, by, call=call, in_place=True)
    last = layer_weights.linear(vae.quant_conv, where)
    means = len(last.weight) // 2  # the other half are the logarithms of the variances
    return functional.linear(hidden, last.weight[:means].flatten(1), where(vae.quant_conv.bias)[:means])


def attended(hidden: Tensor, norm: GroupNorm, by: Attention, call: Call) -> Tensor:
    """The autoencoder's attention among the pixels of each frame [n, H, W, C], added to its input."""
    values = call(normalized, (hidden,), *affine(call(moments, hidden), norm), silu=False).flatten(1, 2)
    return attend_space(values, by).view(hidden.shape).add_(hidden)


class _Decoder:
    """The decoder's hidden state, as an attribute, so that no local variable keeps a replaced one alive.

    Attributes
    ----------
    hidden : Tensor [n, H, W, C]
    """

    def __init__(self, hidden: Tensor, where: Where, rows: int | None, call: Call, check: Check) -> None:
        self.hidden, self._where, self._rows = hidden, where, rows
        self._call, self._check = call, check

    def through(self, decoder: Any) -> None:
        """Go through the whole decoder."""
        where = self._where
        self._by_rows(convolve_rows, layer_weights.convolution(decoder.conv_in, where))
        first, *others = decoder.mid_block.resnets
        self._layer(first)
        for attention, other in zip(decoder.mid_block.attentions, others, strict=False):
            self._attend(
                layer_weights.group_norm(attention.group_norm, where), layer_weights.attention(attention, where)
            )
            self._layer(other)
        for block in decoder.up_blocks:
            for module in block.resnets:
                self._layer(module)
            for upsampler in block.upsamplers or ():
                self._by_rows(double, layer_weights.doubled(upsampler, where), times=2)
        self._last(decoder)

    def _layer(self, block: Any) -> None:
        """A SpatioTemporalResBlock."""
        common: dict[str, Any] = {"call": self._call, "check": self._check}
        weights = layer_weights.residual(block.spatial_res_block, self._where)
        if self._rows is None:
            self.hidden, known = resnet.spatial(self.hidden, None, weights, frames=None, **common)
        else:
            self.hidden, known = resnet.spatial_by_rows(self.hidden, weights, rows=self._rows, **common)
        weights = layer_weights.residual(block.temporal_res_block, self._where)
        share = layer_weights.spatial_share(block.time_mixer, self._where)
        pixels = None if self._rows is None else self._rows * self.hidden.shape[2]
        self.hidden = resnet.temporal(self.hidden, known, weights, share, pixels=pixels, **common)

    def _attend(self, norm: GroupNorm, by: Attention) -> None:
        """Frame by frame where memory is short, else all at once."""
        whole = Whole(len(self.hidden))
        for some in spans(len(self.hidden), None if self._rows is None else 1):
            self._check()
            whole.put(some, attended(self.hidden[some], norm, by, self._call))
        self.hidden = whole.tensor

    def _tiles(self, channels: int, times: int = 1) -> list[slice]:
        """Rows of the layer's input that make at most the plan's rows of its output."""
        _, height, width, in_channels = self.hidden.shape
        rows = None if self._rows is None else max(1, self._rows // times)
        return list(spans(height, rows, elements=len(self.hidden) * width * times**2 * max(in_channels, channels)))

    def _by_rows(self, layer: Callable[..., Tensor], by: Convolution, *, times: int = 1) -> None:
        out = len(by.weight) // times**2
        whole = Whole(self.hidden.shape[1] * times, axis=1)
        for tile in self._tiles(out, times):
            self._check()
            source, edges = resnet.haloed(self.hidden, tile)
            made = slice(tile.start * times, tile.stop * times)
            whole.put(made, layer(source, by, **edges))
        self.hidden = whole.tensor

    def _last(self, decoder: Any) -> None:
        """The last norm, spatial convolution and temporal convolution, whose result is the image."""
        norm = layer_weights.group_norm(decoder.conv_norm_out, self._where)
        space = layer_weights.convolution(decoder.conv_out, self._where)
        time = layer_weights.convolution(decoder.time_conv_out, self._where)
        tiles = self._tiles(0)
        by = affine(joined(self._call(moments, self.hidden[:, tile]) for tile in tiles), norm)
        whole = Whole(self.hidden.shape[1], axis=1)
        for tile in tiles:
            self._check()
            source, edges = resnet.haloed(self.hidden, tile)
            piece = _image(convolve_normalized((source,), by, space, call=self._call, **edges), time)
            whole.put(tile, piece)
        self.hidden = whole.tensor


def _image(values: Tensor, time: Convolution) -> Tensor:
    """The convolution over time of [n, rows, columns, 3]."""
    flat = values.reshape(1, len(values), -1, values.shape[-1])
    return convolve(flat, time, padding=(1, 0)).view(values.shape)
