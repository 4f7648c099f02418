"""What the UNet is told beside the latents: the noise level, and how the video was made."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def time_embedding(unet: Any, timestep: Tensor, added_ids: Tensor) -> Tensor:
    """The embedding that every residual block adds, the same for all frames.

    Parameters
    ----------
    unet : UNetSpatioTemporalConditionModel
    timestep : Tensor
        One number, 0.25 ln sigma.
    added_ids : Tensor [3]
        Frames per second, motion bucket and noise augmentation, as SVD was trained with.

    Returns
    -------
    Tensor [1, channels]
        In the dtype of the UNet's weights: sinusoids are made in float32 and then cast, as the released networks
        were trained and run.
    """
    weight = unet.conv_in.weight
    moment = unet.time_proj(timestep.reshape(1).to(weight.device)).to(weight.dtype)
    ids = unet.add_time_proj(added_ids.flatten().to(weight.device)).reshape(1, -1).to(weight.dtype)
    return unet.time_embedding(moment) + unet.add_embedding(ids)
