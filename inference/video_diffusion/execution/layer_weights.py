"""The weights of diffusers' modules as inputs of Fathom's own layers, on the device and in the dtype of the run.

The modules are only read. A layer's weights are gathered when it starts and freed when it ends: a network in
host memory is moved to the device layer by layer in this way. Derived weights (joint matrices of query, key and value,
reordered kernels) cost far less than a thousandth of the layer's own work. Tensors that no layer needs for a while can
wait in host memory, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .convolution import Convolution, doubling
from .norm import GroupNorm


class Where(NamedTuple):
    """The device and the dtype in which a network computes."""

    device: torch.device
    dtype: torch.dtype

    def __call__(self, tensor: Tensor) -> Tensor:
        # detached: torch.compile makes separate graphs for a module's parameters
        return bring(tensor.detach(), self.device, self.dtype)

    def maybe(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else self(tensor)


class Linear(NamedTuple):
    """`weight` [out, in], `bias` [out]."""

    weight: Tensor
    bias: Tensor | None


class LayerNorm(NamedTuple):
    """`weight`, `bias` [channels]."""

    weight: Tensor
    bias: Tensor
    eps: float


class Residual(NamedTuple):
    """Half of a residual block: norm, convolution, norm, convolution, and the shortcut.

    The convolutions have no biases of their own, which are added where that is free. `bias2` includes the shortcut's.
    """

    norm1: GroupNorm
    conv1: Convolution
    bias1: Tensor
    norm2: GroupNorm
    conv2: Convolution
    bias2: Tensor
    shortcut: Tensor | None


class Attention(NamedTuple):
    """Self-attention: `joint` for query, key and value side by side."""

    joint: Linear
    out: Linear
    heads: int


class FeedForward(NamedTuple):
    """Two linear maps with a gated GELU between: `up` makes values and gates side by side."""

    up: Linear
    down: Linear


class TransformerBlock(NamedTuple):
    """One block; `entrance` is empty for a spatial one."""

    entrance: tuple[Any, ...]
    norm1: LayerNorm
    attention: Attention
    norm3: LayerNorm
    feed_forward: FeedForward


def convolution(module: Any, where: Where, *, biased: bool = True) -> Convolution:
    """A Conv2d, or a Conv3d over time only, see `convolution`."""
    weight = where(module.weight)
    if weight.dim() == 5:
        weight = weight.squeeze(4)
    weight = weight.contiguous(memory_format=torch.channels_last)
    return Convolution(weight, where(module.bias) if biased else None)


def doubled(module: Any, where: Where) -> Convolution:
    """The convolution of an Upsample2D, as `convolution.double` takes it."""
    return doubling(where(module.conv.weight), where(module.conv.bias))


def group_norm(module: Any, where: Where) -> GroupNorm:
    """A GroupNorm."""
    single = Where(where.device, torch.float32)
    return GroupNorm(single(module.weight), single(module.bias), module.num_groups, module.eps)


def layer_norm(module: Any, where: Where) -> LayerNorm:
    """A LayerNorm over the channels."""
    return LayerNorm(where(module.weight), where(module.bias), module.eps)


def linear(module: Any, where: Where) -> Linear:
    """A linear map."""
    return Linear(where(module.weight), where.maybe(module.bias))


def residual(block: Any, where: Where, embedding: Tensor | None = None) -> Residual:
    """A ResnetBlock2D or TemporalResnetBlock.

    The embedding [1, channels] of the noise level, after SiLU, is the same for all frames, so its projection is added
    to the first convolution's bias.
    """
    first, second = where(block.conv1.bias), where(block.conv2.bias)
    if embedding is not None:
        first = first + functional.linear(embedding, *linear(block.time_emb_proj, where))[0]
    shortcut = None
    if block.conv_shortcut is not None:
        shortcut = where(block.conv_shortcut.weight).flatten(1)
        second = second + where(block.conv_shortcut.bias)
    return Residual(
        group_norm(block.norm1, where),
        convolution(block.conv1, where, biased=False),
        first,
        group_norm(block.norm2, where),
        convolution(block.conv2, where, biased=False),
        second,
        shortcut,
    )


def spatial_share(mixer: Any, where: Where) -> Tensor:
    """The share [1] of the spatial branch in an AlphaBlender's mix, of video."""
    factor = where(mixer.mix_factor)
    share = factor if mixer.merge_strategy == "fixed" else torch.sigmoid(factor)
    return 1.0 - share if mixer.switch_spatial_to_temporal_mix else share


def attention(module: Any, where: Where) -> Attention:
    """Self-attention."""
    sources = (module.to_q, module.to_k, module.to_v)
    bias = None if module.to_q.bias is None else torch.cat([where(source.bias) for source in sources])
    joint = Linear(torch.cat([where(source.weight) for source in sources]), bias)
    return Attention(joint, linear(module.to_out[0], where), module.heads)


def attended_token(module: Any, tokens: Tensor, where: Where) -> Tensor:
    """Cross-attention to a single token [n, channels]: the softmax of one score is 1, whatever the query.

    Two linear maps of the token remain, the same for every pixel.
    """
    values = functional.linear(tokens, *linear(module.to_v, where))
    return functional.linear(values, *linear(module.to_out[0], where))


def feed_forward(module: Any, where: Where) -> FeedForward:
    """A FeedForward with GEGLU."""
    return FeedForward(linear(module.net[0].proj, where), linear(module.net[2], where))


def transformer_block(block: Any, where: Where) -> TransformerBlock:
    """A BasicTransformerBlock or TemporalBasicTransformerBlock without its cross-attention."""
    entrance: tuple[Any, ...] = ()
    if hasattr(block, "ff_in"):
        entrance = (layer_norm(block.norm_in, where), feed_forward(block.ff_in, where))
    return TransformerBlock(
        entrance,
        layer_norm(block.norm1, where),
        attention(block.attn1, where),
        layer_norm(block.norm3, where),
        feed_forward(block.ff, where),
    )


def mlp(module: Any, values: Tensor, where: Where) -> Tensor:
    """A TimestepEmbedding of sinusoids [n, channels]."""
    hidden = functional.silu(functional.linear(values, *linear(module.linear_1, where)))
    return functional.linear(hidden, *linear(module.linear_2, where))


def park(tensor: Tensor, *, on_host: bool) -> Tensor:
    """A tensor that is not needed for a while: itself, or its copy in host memory.

    The copy to pinned memory is asynchronous. It is only read back through the same stream of the device (`bring`), by
    when it is complete; the host itself never reads it.
    """
    if not on_host or tensor.device.type == "cpu":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.device.type == "cuda")
    return host.copy_(tensor, non_blocking=tensor.device.type == "cuda")


def bring(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor on the device and in a dtype; itself where it is there already.

    Nothing is copied back: a weight's copy is freed after its layer, and the original stays in host memory.
    """
    return tensor.to(device=device, dtype=dtype or tensor.dtype, non_blocking=device.type == "cuda")
