"""What a training takes: memory and floating-point operations by a dry run of the same loss, and what follows of them.

The network runs forward and backward on torch's ``meta`` device in half precision (`video_diffusion.dry_run`). Under
automatic mixed precision its weights, their gradients and Adam's sums are in float32, and half copies of the weights
are kept during a step; these are added by their sizes. Not counted: a few normalizations in float32, the allocator's
fragmentation, and buffers for the exchange of gradients, which are as large as the gradients themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..common.units import duration
from ..video_diffusion import dry_run
from ..video_diffusion.device import CUDA_CONTEXT
from ..video_diffusion.networks import CLASSES, RELEASED
from . import objective
from .examples import Example
from .recipe import Settings

A100, SUSTAINED = 312e12, 0.4
"""Peak of an NVIDIA A100 in bfloat16, operations a second (its data sheet), and the share of it that is assumed."""
_META = torch.device("meta")
_ENCODERS = 1_400_000_000
"""Bytes of the image encoder in half precision (632 million parameters) and the autoencoder's in float32 (34)."""
_CACHED = 4 * (2 * 4 + 2 / 4)
"""Bytes of a latent pixel in the cache: four channels of two latents as half floats, and the mask."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a stage takes on one device.

    Attributes
    ----------
    parameters, trained : int
        All of the network's, and those that are trained.
    fixed : int
        Bytes of weights, gradients, Adam's sums, the average, and the encoders.
    working : int
        Bytes of the values that one sequence of the longest length needs.
    flops : float
        Floating-point operations of a sequence of the mean length, its gradient included.
    step : float
        Of a step: of a batch.
    """

    parameters: int
    trained: int
    fixed: int
    working: int
    flops: float
    step: float

    @property
    def bytes(self) -> int:
        """Bytes of the device's memory at the peak."""
        return self.fixed + self.working + int(CUDA_CONTEXT)


def of(settings: Settings, *, unet: Mapping[str, Any] | None = None) -> Cost:
    """The cost of a stage, for a UNet of these constructor arguments; None: the released one's."""
    with _META:
        network = CLASSES["unet"].from_config(dict(unet or RELEASED["unet"]))
    torch.nn.Module.to(network, device=_META, dtype=torch.bfloat16)  # some small ones are made on the CPU all the same
    objective.choose_layers(network, settings.trained)
    if settings.checkpointing:
        network.enable_gradient_checkpointing()
    network.set_attn_processor(_Fused())
    denoiser = objective.Denoiser(network.train())
    everything = sum(each.numel() for each in network.parameters())
    trained = sum(each.numel() for each in objective.trained_parameters(denoiser))
    # gradients in half precision are in the dry run: float32 ones have twice their bytes
    fixed = 4 * everything + 2 * everything + (4 - 2) * trained + 8 * trained + (4 * trained if settings.ema else 0)
    mean = (settings.shortest + settings.longest) / 2
    flops = dry_run.flops(lambda: _gradient(denoiser, settings, round(mean))) * mean / round(mean)
    return Cost(
        parameters=everything,
        trained=trained,
        fixed=fixed + _ENCODERS,
        working=dry_run.peak_bytes(lambda: _gradient(denoiser, settings, settings.longest)),
        flops=flops,
        step=flops * settings.batch,
    )


def sentences(settings: Settings, *, clips: int, unet: Mapping[str, Any] | None = None) -> list[str]:
    """The cost for people."""
    found, longest = of(settings, unet=unet), settings.longest
    seconds = found.step / (A100 * SUSTAINED)
    mean = (settings.shortest + settings.longest) / 2
    cache = clips * settings.variants * mean * settings.width * settings.height / 64 * _CACHED
    return [
        f"{found.trained / 1e6:.0f} of {found.parameters / 1e6:.0f} million parameters are trained.",
        f"A GPU needs about {found.bytes / 1e9:.0f} GB: {found.fixed / 1e9:.1f} GB for weights and sums, and "
        f"{found.working / 1e9:.1f} GB for a sequence of {longest} frames of {settings.width}x{settings.height}.",
        f"A step of {settings.batch} sequences is about {found.step / 1e12:.0f} TFLOP: "
        f"{seconds:.1f} s on one A100 at {SUSTAINED:.0%} of its peak, so that {settings.steps} steps take "
        f"{duration(seconds * settings.steps)} on one, and {duration(seconds * settings.steps / 8)} on eight.",
        f"The cache takes up to about {cache / 1e9:.1f} GB on the disk.",
    ]


class _Fused:
    """Attention by the fused kernel, which torch does not choose on ``meta``; also where it is computed again."""

    def __call__(self, attention: Any, hidden: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Tensor:
        seen = hidden if encoder_hidden_states is None else encoder_hidden_states
        parts = attention.to_q(hidden), attention.to_k(seen), attention.to_v(seen)
        split = (each.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for each in parts)
        result = torch.ops.aten._scaled_dot_product_flash_attention(*split, 0.0, False)[0]
        return attention.to_out[0](result.transpose(1, 2).flatten(2))


def _gradient(denoiser: objective.Denoiser, settings: Settings, length: int) -> None:
    """The gradient of one sequence's loss, on ``meta``; the gradients stay for the while, as in a step."""
    rows, columns = settings.height // 8, settings.width // 8
    shape = (length, 4, rows, columns)
    tokens = denoiser.unet.config.cross_attention_dim
    example = Example(
        video=torch.empty(shape, device=_META, dtype=torch.bfloat16),
        tokens=torch.empty((length, tokens), device=_META, dtype=torch.bfloat16),
        depth=torch.empty(shape, device=_META),
        known=torch.empty((length, 1, rows, columns), device=_META),
        augmentation=0.02,
    )
    draw = objective.Draw(sigma=1.0, noise=torch.empty(shape, device=_META), is_unconditioned=False)
    objective.loss(denoiser, example, draw, device=_META).backward()
    for parameter in denoiser.parameters():
        parameter.grad = None
