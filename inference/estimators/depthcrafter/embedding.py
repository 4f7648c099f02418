"""What the frames show, as one CLIP token each (paper, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SIDE = 224
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training pictures (Radford et al. 2021)."""


@torch.inference_mode()
def embed(image_encoder: torch.nn.Module, frames: Tensor) -> Tensor:
    """The projected CLIP embeddings of frames.

    Parameters
    ----------
    image_encoder : CLIPVisionModelWithProjection
    frames : Tensor [n, 3, H, W]
        float32, 0 to 1, on the encoder's device.

    Returns
    -------
    Tensor [n, channels]
        In the encoder's dtype.
    """
    small = (shrunk(2 * frames - 1) + 1) / 2
    mean = torch.tensor(_MEAN, device=frames.device).reshape(1, 3, 1, 1)
    deviation = torch.tensor(_DEVIATION, device=frames.device).reshape(1, 3, 1, 1)
    pixels = (small - mean) / deviation
    return image_encoder(pixels.to(next(image_encoder.parameters()).dtype)).image_embeds


def shrunk(pictures: Tensor) -> Tensor:
    """Pictures [n, c, H, W] brought to CLIP's size without regard to their aspect, [n, c, 224, 224].

    Blurred against aliasing as far as each axis shrinks, then resampled bicubically corner to corner, which is how
    SVD's embeddings were made; values may leave the range of the input.
    """
    height, width = pictures.shape[-2:]
    blurred = _blurred(_blurred(pictures, width / _SIDE, axis=-1), height / _SIDE, axis=-2)
    return functional.interpolate(blurred, (_SIDE, _SIDE), mode="bicubic", align_corners=True)


def _blurred(pictures: Tensor, factor: float, *, axis: int) -> Tensor:
    """Gaussian blur along one axis, reflected at the borders, for shrinking by `factor`."""
    sigma = max((factor - 1) / 2, 0.001)
    taps = int(max(4 * sigma, 3))
    taps += 1 - taps % 2
    places = torch.arange(taps, dtype=pictures.dtype, device=pictures.device) - taps // 2
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    front, rear = (taps - 1) // 2, taps // 2
    channels = pictures.shape[1]
    if axis == -1:
        padded = functional.pad(pictures, (front, rear, 0, 0), mode="reflect")
        weight = kernel.reshape(1, 1, 1, taps)
    else:
        padded = functional.pad(pictures, (0, 0, front, rear), mode="reflect")
        weight = kernel.reshape(1, 1, taps, 1)
    return functional.conv2d(padded, weight.expand(channels, 1, *weight.shape[2:]), groups=channels)
