"""The stages of an estimate: encode frames, denoise one segment, decode a chunk of latents.

The whole clip at once (`DepthCrafterPipeline`) and the stream of segments (`Stream`) call these same functions. What
the frames show enters as one CLIP token each (DepthCrafter, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.hints import setting
from ..models import store
from .execution.forward import OWN, Forward
from .execution.plan import Plan
from .networks import Networks

FRAMES_PER_SECOND, MOTION_BUCKET = 7, 127
"""SVD's conditioning, with the same values for every video."""
Check = Callable[[], None]
T = TypeVar("T")
_SIDE = 224
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training images (Radford et al. 2021)."""
ENCODING, STEP, DECODING = 2.6, 3.2, 6.9
"""Work for a frame, in TFLOP at 1024x576: the unit of the progress."""
ENCODE_GRID = 8
"""Frames that are encoded together, in batches counted from the clip's start, so that a stream makes the same ones."""


class Attempt(Protocol):
    """Runs a function with the current plan, and again with a smaller one when memory runs out."""

    def __call__(self, work: Callable[[Plan], T], /) -> T: ...


@dataclass(frozen=True)
class Encoded:
    """The UNet's conditioning for frames.

    Attributes
    ----------
    latents : Tensor [n, 4, h, w]
        float32, the mode of the autoencoder's distribution, not scaled.
    embeddings : Tensor [n, channels]
        CLIP's, in the dtype of its network.
    """

    latents: Tensor
    embeddings: Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, frames: slice) -> Encoded:
        return Encoded(self.latents[frames], self.embeddings[frames])

    @staticmethod
    def joined(pieces: Sequence[Encoded]) -> Encoded:
        """Consecutive frames as one."""
        return Encoded(
            torch.cat([piece.latents for piece in pieces]), torch.cat([piece.embeddings for piece in pieces])
        )


@torch.inference_mode()
def encode(
    networks: Networks,
    frames: Tensor,
    noise: Tensor,
    *,
    device: torch.device,
    attempt: Attempt,
    check: Check = lambda: None,
    forward: Forward = OWN,
) -> Encoded:
    """Encode frames [n, 3, H, W], 0 to 1, one by one; the size of a batch changes nothing beyond rounding.

    `noise` of the same shape is added to the frames in [-1, 1] before the autoencoder sees them; CLIP sees them without
    it. The device may still be computing the result.
    """

    def work(plan: Plan) -> Encoded:
        # Apple's GPUs may read the frames after the host has freed them
        pixels = frames.to(device, non_blocking=device.type == "cuda")
        embeddings = embed(networks.image_encoder, pixels)
        check()
        latents = forward.encode(networks.vae, 2 * pixels - 1 + noise.to(device), plan=plan, check=check)
        # always contiguous: the memory format may change bits, and a checkpoint stores only this one
        return Encoded(latents.contiguous(), embeddings)

    return attempt(work)


@torch.inference_mode()
def denoise(
    networks: Networks,
    latents: Tensor,
    conditions: Encoded,
    *,
    steps: int,
    guidance: float,
    noise_augmentation: float,
    device: torch.device,
    attempt: Attempt,
    check: Check = lambda: None,
    forward: Forward = OWN,
    progress: Callable[[int], None] = lambda steps_done: None,
) -> Tensor:
    """Denoise one segment from the first noise level to none.

    Parameters
    ----------
    latents : Tensor [n, 4, h, w]
        float32, at the first noise level, see `first_sigmas`.
    conditions : Encoded
        Of the same frames.
    guidance : float
        Classifier-free guidance, one factor for all frames; 1 or less: none, and no second pass.
    noise_augmentation : float
        Strength of the noise that the frames were encoded with.
    progress : callable
        Called with the number of finished steps.

    Returns
    -------
    Tensor [n, 4, h, w]
        float32, on the CPU.

    Raises
    ------
    Failure
        FAILED: the values are not finite.
    """
    scheduler = networks.scheduler
    scheduler.set_timesteps(steps)  # for every segment: this also resets the count of steps
    added = added_ids(networks, noise_augmentation, device)
    video, embeddings = conditions.latents.to(device), conditions.embeddings.to(device)
    # Kept in float32 between the steps: at the first noise level half precision would round the anchor away.
    current = latents.to(device, torch.float32)
    for index, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(current, timestep)

        def work(plan: Plan, scaled: Tensor = scaled, timestep: Tensor = timestep) -> Tensor:
            def velocity(video: Tensor, embeddings: Tensor) -> Tensor:
                return forward.predict(
                    networks.unet,
                    scaled,
                    video,
                    embeddings,
                    added_ids=added,
                    timestep=timestep,
                    plan=plan,
                    check=check,
                ).float()

            conditioned = velocity(video, embeddings)
            if guidance <= 1:
                return conditioned
            unconditioned = velocity(torch.zeros_like(video), torch.zeros_like(embeddings))
            return unconditioned + guidance * (conditioned - unconditioned)

        current = scheduler.step(attempt(work), timestep, current).prev_sample
        check_overflow(current, networks)
        progress(index + 1)
        check()
    return current.cpu().contiguous()


def added_ids(networks: Networks, noise_augmentation: float, device: torch.device) -> Tensor:
    """The UNet's conditioning on frame rate, motion and noise augmentation, [3], in its own dtype."""
    ids = torch.tensor([FRAMES_PER_SECOND, MOTION_BUCKET, noise_augmentation], device=device)
    return ids.to(networks.unet.conv_in.weight.dtype)


def first_sigmas(networks: Networks, steps: int) -> tuple[float, float]:
    """Standard deviation of the first latents: of anchored frames, and of all others.

    SVD's scheduler counts the signal's own variance in for pure noise, sqrt(sigma^2 + 1).
    """
    networks.scheduler.set_timesteps(steps)
    return float(networks.scheduler.sigmas[0]), float(networks.scheduler.init_noise_sigma)


@torch.inference_mode()
def decode(
    networks: Networks,
    latents: Tensor,
    *,
    device: torch.device,
    attempt: Attempt,
    check: Check = lambda: None,
    forward: Forward = OWN,
) -> Tensor:
    """Decode one chunk of frames [n, 4, h, w], which the decoder's temporal layers see together.

    Returns
    -------
    Tensor [n, H, W]
        Disparity, float32, 0 to 1, on the device: the mean of the decoder's three channels. It is not stretched to
        any range, so that all chunks and windows share one scale. NaN where the decoder's values left the range of
        their dtype; the caller checks for it (`overflow`), since a check here would stall the device.
    """
    scaled = latents.to(device) / networks.vae.config.scaling_factor

    def work(plan: Plan) -> Tensor:
        images = forward.decode(networks.vae, scaled, plan=plan, check=check)
        disparity = (images.float() / 2 + 0.5).clamp(0, 1).mean(dim=1)
        # infinity would look like the nearest or the farthest point
        return disparity.masked_fill_(~torch.isfinite(images).all(dim=1), torch.nan)

    return attempt(work)


def check_overflow(latents: Tensor, networks: Networks) -> None:
    """Raise a `Failure` (see `overflow`) where a window's latents [n, 4, h, w] are not finite."""
    bad = ~torch.isfinite(latents).flatten(1).all(dim=1)
    if bool(bad.any()):
        raise overflow(networks, f"in {int(bad.sum())} of the {len(bad)} frames of a window")


def overflow(networks: Networks, where: str) -> Failure:
    """The failure of networks whose values are not finite; `where` says where, as part of a sentence."""
    dtype = str(networks.unet.conv_in.weight.dtype).removeprefix("torch.")
    if dtype == "float32":
        return Failure(
            exit_codes.FAILED,
            f"The network's values are not finite {where}, although it runs in float32.",
            "Its weights are damaged.",
            f"Check them. Run: {store.command('verify')}",
        )
    return Failure(
        exit_codes.FAILED,
        f"The network's values left the range of {dtype} {where}; no depth was written from them.",
        hint=f"Choose another precision ({setting('precision', 'bf16')}, or {setting('precision', 'fp32')}, which "
        "needs twice the memory).",
    )


@torch.inference_mode()
def embed(image_encoder: torch.nn.Module, frames: Tensor) -> Tensor:
    """The projected CLIP embeddings [n, channels] of frames [n, 3, H, W], 0 to 1, in the encoder's dtype."""
    small = (shrunk(2 * frames - 1) + 1) / 2
    mean = torch.tensor(_MEAN, device=frames.device).reshape(1, 3, 1, 1)
    deviation = torch.tensor(_DEVIATION, device=frames.device).reshape(1, 3, 1, 1)
    pixels = (small - mean) / deviation
    return image_encoder(pixels.to(next(image_encoder.parameters()).dtype)).image_embeds


def shrunk(images: Tensor) -> Tensor:
    """Images [n, c, H, W] resized to CLIP's size, ignoring their aspect, [n, c, 224, 224].

    Blurred against aliasing as far as each axis shrinks, then resampled bicubically corner to corner, which is how
    SVD's embeddings were made; values may leave the range of the input.
    """
    height, width = images.shape[-2:]
    blurred = _blurred(_blurred(images, width / _SIDE, axis=-1), height / _SIDE, axis=-2)
    return functional.interpolate(blurred, (_SIDE, _SIDE), mode="bicubic", align_corners=True)


def _blurred(images: Tensor, factor: float, *, axis: int) -> Tensor:
    """Gaussian blur along one axis, reflected at the borders, for shrinking by `factor`."""
    sigma = max((factor - 1) / 2, 0.001)
    taps = int(max(4 * sigma, 3))
    taps += 1 - taps % 2
    offsets = torch.arange(taps, dtype=images.dtype, device=images.device) - taps // 2
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    front, rear = (taps - 1) // 2, taps // 2
    channels = images.shape[1]
    if axis == -1:
        padded = functional.pad(images, (front, rear, 0, 0), mode="reflect")
        weight = kernel.reshape(1, 1, 1, taps)
    else:
        padded = functional.pad(images, (0, 0, front, rear), mode="reflect")
        weight = kernel.reshape(1, 1, taps, 1)
    return functional.conv2d(padded, weight.expand(channels, 1, *weight.shape[2:]), groups=channels)
