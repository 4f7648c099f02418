"""DepthCrafter's UNet in pieces, equal to diffusers' own forward pass (`plain`) within rounding.

Only the weights of diffusers' modules are read, and their sinusoids called; nothing is changed or subclassed.
DepthCrafter's change to SVD (Hu et al. 2024, section 3.2): each frame has its own CLIP token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import layer_weights, resnet
from .compiling import Call, caller
from .convolution import Convolution, convolve, convolve_normalized, double
from .layer_weights import Where, park
from .norm import GroupNorm, affine, moments
from .pieces import Whole, spans
from .plain import time_embedding
from .plan import Plan
from .transformer import transformer


@torch.inference_mode()
def predict(
    unet: Any,
    latents: Tensor,
    video_latents: Tensor,
    embeddings: Tensor,
    *,
    added_ids: Tensor,
    timestep: Tensor,
    plan: Plan | None = None,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """The UNet's output for one window, v [F, 4, h, w], in its dtype.

    Parameters
    ----------
    unet : UNetSpatioTemporalConditionModel
        May be in host memory: its layers are moved one by one to the latents' device.
    latents : Tensor [F, 4, h, w]
        Noisy, divided by sqrt(sigma^2 + 1). Sides are multiples of the network's downsampling factor (8).
    video_latents : Tensor [F, 4, h, w]
        Of the frames; zeros without guidance.
    embeddings : Tensor [F, E]
        CLIP's, one token a frame.
    added_ids : Tensor [3]
        Frames per second, motion bucket, noise augmentation.
    timestep : Tensor
        One number, 0.25 ln sigma.
    plan : Plan or None
        Changes nothing beyond rounding. None: everything at once, as far as kernels allow.
    check : callable
        Called between pieces; raises to cancel.
    """
    plan = plan or Plan()
    halved = 2 ** sum(block.downsamplers is not None for block in unet.down_blocks)
    if latents.shape[2] % halved or latents.shape[3] % halved:
        raise ValueError(f"the latents' sides must be multiples of {halved}, not {list(latents.shape[2:])}")
    where = Where(latents.device, unet.conv_in.weight.dtype)
    embedding = functional.silu(where(time_embedding(unet, timestep, added_ids)))
    sample = torch.cat([where(latents), where(video_latents)], 1).permute(0, 2, 3, 1).contiguous()
    narrowest = unet.conv_in.weight.shape[0]
    with caller(plan) as call:
        walk = _Walk(
            hidden=sample,
            tokens=where(embeddings),
            embedding=embedding,
            where=where,
            plan=plan,
            call=call,
            check=check,
            narrowest=narrowest,
            largest=narrowest * latents.shape[2] * latents.shape[3],
        )
        del sample
        walk.through(unet)
        return walk.hidden.permute(0, 3, 1, 2).contiguous()


@dataclass(kw_only=True)
class _Walk:
    """The UNet's hidden state [F, H, W, C], as attributes, so that no local variable keeps a replaced one alive.

    Attributes
    ----------
    embedding : Tensor [1, channels]
        Of the noise level, after SiLU.
    narrowest : int
        Channels of the network's first layer.
    largest : int
        Elements of a frame in that layer. The plan's figures are for it; smaller layers take more frames in proportion,
        so that all layers compute about as much at a time.
    skips : list of Tensor
        Of the way down, for the way up.
    """

    hidden: Tensor
    tokens: Tensor
    embedding: Tensor
    where: Where
    plan: Plan
    call: Call
    check: Callable[[], None]
    narrowest: int
    largest: int
    skips: list[Tensor] = field(default_factory=list)

    def through(self, unet: Any) -> None:
        """Go through the whole network."""
        self._convolve(layer_weights.convolution(unet.conv_in, self.where))
        self._keep()
        for block in unet.down_blocks:
            for resnet_module, attention in zip(block.resnets, _attentions(block), strict=True):
                self._layer(resnet_module, attention)
                self._keep()
            for downsampler in block.downsamplers or ():
                self._convolve(layer_weights.convolution(downsampler.conv, self.where), stride=2)
                self._keep()
        first, *others = unet.mid_block.resnets
        self._layer(first, None)
        for attention, resnet_module in zip(unet.mid_block.attentions, others, strict=True):
            self._transform(attention)
            self._layer(resnet_module, None)
        for block in unet.up_blocks:
            for resnet_module, attention in zip(block.resnets, _attentions(block), strict=True):
                self._layer(resnet_module, attention, skip=True)
            for upsampler in block.upsamplers or ():
                by = layer_weights.doubled(upsampler, self.where)
                self._by_frames(partial(double, by=by), width=len(by.weight))
        norm = layer_weights.group_norm(unet.conv_norm_out, self.where)
        by = layer_weights.convolution(unet.conv_out, self.where)
        self._by_frames(partial(_last, norm=norm, by=by, call=self.call), width=len(by.weight))

    def _keep(self) -> None:
        self.skips.append(park(self.hidden, on_host=self.plan.skips_on_host))

    def _layer(self, block: Any, attention: Any | None, *, skip: bool = False) -> None:
        """A SpatioTemporalResBlock, and a transformer where one follows."""
        common: dict[str, Any] = {"call": self.call, "check": self.check}
        weights = layer_weights.residual(block.spatial_res_block, self.where, self.embedding)
        self.hidden, known = resnet.spatial(
            self.hidden, self.skips.pop() if skip else None, weights, frames=self._frames(len(weights.bias1)), **common
        )
        weights = layer_weights.residual(block.temporal_res_block, self.where, self.embedding)
        share = layer_weights.spatial_share(block.time_mixer, self.where)
        self.hidden = resnet.temporal(self.hidden, known, weights, share, pixels=self._pixels(), **common)
        del weights
        if attention is not None:
            self._transform(attention)

    def _transform(self, module: Any) -> None:
        self.hidden = transformer(
            module,
            self.hidden,
            self.tokens,
            where=self.where,
            frames=self._frames(),
            pixels=self._pixels(),
            call=self.call,
            check=self.check,
        )

    def _convolve(self, by: Convolution, *, stride: int = 1) -> None:
        self._by_frames(partial(convolve, by=by, stride=stride), width=len(by.weight))

    def _by_frames(self, layer: Callable[[Tensor], Tensor], *, width: int) -> None:
        frames, height, columns, channels = self.hidden.shape
        widest = max(channels, width)
        whole = Whole(frames)
        for some in spans(frames, self._frames(widest), elements=height * columns * widest):
            self.check()
            whole.put(some, layer(self.hidden[some]))
        self.hidden = whole.tensor

    def _frames(self, channels: int | None = None) -> int | None:
        """Frames at a time in a layer of the size of `hidden` with so many output channels."""
        if self.plan.frames is None:
            return None
        _, height, width, own = self.hidden.shape
        return max(1, self.plan.frames * self.largest // (height * width * (channels or own)))

    def _pixels(self) -> int | None:
        """Pixels at a time in a layer of the size of `hidden`."""
        if self.plan.pixels is None:
            return None
        return max(1, self.plan.pixels * self.narrowest // self.hidden.shape[3])


def _last(piece: Tensor, norm: GroupNorm, by: Convolution, call: Call) -> Tensor:
    return convolve_normalized((piece,), affine(call(moments, piece), norm), by, call=call)


def _attentions(block: Any) -> Any:
    """The transformers of a block, one per residual block; None for each where there are none."""
    return block.attentions if hasattr(block, "attentions") else [None] * len(block.resnets)
