"""The networks through diffusers' stock modules, not optimized: the reference for the other files in this folder.

The embedding of the UNet's conditioning (noise level, frame rate, motion) serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .plan import Plan


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
    """The UNet's output for one window, as of `unet.predict`; the plan is ignored."""
    check()
    return forward(unet, latents, video_latents, embeddings, added_ids=added_ids, timestep=timestep)


def forward(
    unet: Any, latents: Tensor, video_latents: Tensor, embeddings: Tensor, *, added_ids: Tensor, timestep: Tensor
) -> Tensor:
    """As `predict`, in whatever mode gradients are: this is what a training differentiates."""
    frames = len(latents)
    dtype = unet.conv_in.weight.dtype
    sample = torch.cat([latents.to(dtype), video_latents.to(dtype)], dim=1)
    # diffusers repeats one token over all frames; in DepthCrafter each frame has its own (paper, 3.2)
    tokens = embeddings.to(dtype)[:, None]
    emb = time_embedding(unet, timestep, added_ids).expand(frames, -1)
    images = torch.zeros(1, frames, dtype=dtype, device=sample.device)
    sample = unet.conv_in(sample)
    skips = [sample]
    for block in unet.down_blocks:
        sample, new = block(sample, emb, **_attended(block, tokens), image_only_indicator=images)
        skips += new
    sample = unet.mid_block(sample, emb, tokens, image_only_indicator=images)
    for block in unet.up_blocks:
        count = len(block.resnets)
        taken, skips = tuple(skips[-count:]), skips[:-count]
        sample = block(
            hidden_states=sample,
            temb=emb,
            res_hidden_states_tuple=taken,
            **_attended(block, tokens),
            image_only_indicator=images,
        )
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(sample)))


@torch.inference_mode()
def decode(vae: Any, latents: Tensor, *, plan: Plan | None = None, check: Callable[[], None] = lambda: None) -> Tensor:
    """One decoded chunk of frames, as of `autoencoder.decode`; the plan is ignored."""
    check()
    dtype = next(vae.decoder.parameters()).dtype
    return vae.decode(latents.to(dtype), num_frames=len(latents)).sample


@torch.inference_mode()
def encode(vae: Any, pixels: Tensor, *, plan: Plan | None = None, check: Callable[[], None] = lambda: None) -> Tensor:
    """The mode of the latent distribution, as of `autoencoder.encode`; the plan is ignored."""
    check()
    return vae.encode(pixels).latent_dist.mode()


def _attended(block: torch.nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """The tokens for a block that attends to them; the outermost blocks have no attention."""
    return {"encoder_hidden_states": tokens} if getattr(block, "has_cross_attention", False) else {}


def time_embedding(unet: Any, timestep: Tensor, added_ids: Tensor) -> Tensor:
    """The embedding [1, channels] that every residual block adds, the same for all frames.

    `timestep` is 0.25 ln sigma; `added_ids` [3] are frames per second, motion bucket and noise augmentation, as SVD was
    trained with. Sinusoids are computed in float32 and then cast to the dtype of the weights, as in training.
    """
    weight = unet.conv_in.weight
    moment = unet.time_proj(timestep.reshape(1).to(weight.device)).to(weight.dtype)
    ids = unet.add_time_proj(added_ids.flatten().to(weight.device)).reshape(1, -1).to(weight.dtype)
    return unet.time_embedding(moment) + unet.add_embedding(ids)
