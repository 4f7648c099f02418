"""DepthCrafter on a whole clip in memory; `streaming` does the same for clips of any length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...video_diffusion import stages, windows
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.networks import Networks
from ...video_diffusion.stages import ENCODE_GRID


@dataclass(frozen=True)
class Output:
    """What the pipeline returns.

    Attributes
    ----------
    disparity : array [T, H, W]
        float32, 0 to 1, larger is nearer; up to one scale and shift for the whole clip.
    latents : array [T, 4, H/8, W/8]
        float32, before decoding.
    """

    disparity: NDArray[np.float32]
    latents: NDArray[np.float32]


class DepthCrafterPipeline:
    """DepthCrafter (Hu et al. 2024): depth of a whole video by video diffusion.

    Parameters
    ----------
    unet : UNetSpatioTemporalConditionModel
    vae : AutoencoderKLTemporalDecoder
    image_encoder : CLIPVisionModelWithProjection
    scheduler : EulerDiscreteScheduler
        The networks stay on the device, and in the dtype, that they have; the autoencoder's encoder is brought to
        float32.
    plan : Plan or None
        In which pieces the layers are computed; None: everything at once, as far as kernels allow.
    """

    def __init__(self, *, unet: Any, vae: Any, image_encoder: Any, scheduler: Any, plan: Plan | None = None) -> None:
        self.networks = Networks(unet=unet, vae=vae, image_encoder=image_encoder, scheduler=scheduler).prepared()
        self.plan = plan or Plan()

    @torch.inference_mode()
    def __call__(
        self,
        frames: NDArray[np.float32],
        *,
        num_inference_steps: int = 5,
        guidance_scale: float = 1.0,
        window_size: int = 110,
        overlap: int = 25,
        noise_aug_strength: float = 0.02,
        decode_chunk_size: int = 8,
        generator: torch.Generator | None = None,
        anchor: bool = True,
        stitch: bool = True,
    ) -> Output:
        """Estimate the disparity of a clip.

        Parameters
        ----------
        frames : array [T, H, W, 3]
            float32, 0 to 1, display-referred; H and W multiples of 64.
        num_inference_steps : int
        guidance_scale : float
            Above 1: classifier-free guidance, which doubles the work.
        window_size, overlap : int
            Frames of a segment, and frames that two segments share.
        noise_aug_strength : float
        decode_chunk_size : int
            Frames that the decoder's temporal layers see together.
        generator : torch.Generator or None
            On the CPU; None: one with a random seed.
        anchor, stitch : bool
            The two parts of the strategy for long clips (paper, section 3.4), for its ablation (section 4.3).

        Raises
        ------
        ValueError
            The frames' shape or a setting is invalid.
        Failure
            See `parameters.check_window` and `stages.denoise`; or the decoder's values are not finite.
        """
        count, height, width = _check(frames, num_inference_steps, decode_chunk_size)
        device = self.networks.unet.conv_in.weight.device
        if generator is None:
            generator = torch.Generator()
            generator.seed()
        segments = windows.segments(count, window_size, overlap)
        common: dict[str, Any] = {"device": device, "attempt": lambda work: work(self.plan)}

        pieces = []
        for start in range(0, count, ENCODE_GRID):
            chunk = torch.from_numpy(np.ascontiguousarray(frames[start : start + ENCODE_GRID])).permute(0, 3, 1, 2)
            grain = noise_aug_strength * windows.pixel_noise(generator, len(chunk), height, width)
            pieces.append(stages.encode(self.networks, chunk, grain, **common))
        encoded = stages.Encoded.joined(pieces)

        pool = windows.latent_noise(generator, min(window_size, count), height, width)
        sigmas = stages.first_sigmas(self.networks, num_inference_steps)
        latents = torch.empty(0)
        for index, segment in enumerate(segments):
            conditions = encoded[segment.start : segment.stop]

            def denoise(first: Tensor, conditions: stages.Encoded = conditions) -> Tensor:
                return stages.denoise(
                    self.networks,
                    first,
                    conditions,
                    steps=num_inference_steps,
                    guidance=guidance_scale,
                    noise_augmentation=noise_aug_strength,
                    **common,
                )

            latents = windows.extended(
                latents,
                index,
                windows.segment_noise(pool, index, len(segment), overlap, anchor=anchor),
                overlap=overlap,
                anchor=anchor,
                stitch=stitch,
                sigmas=sigmas,
                denoise=denoise,
            )
        disparity = [
            stages.decode(self.networks, latents[start : start + decode_chunk_size], **common).cpu()
            for start in range(0, count, decode_chunk_size)
        ]
        maps = torch.cat(disparity)
        if not bool(torch.isfinite(maps).all()):
            raise stages.overflow(self.networks, "while the clip was decoded")
        return Output(disparity=maps.numpy(), latents=latents.numpy())


def _check(frames: NDArray[np.float32], steps: int, decode_chunk: int) -> tuple[int, int, int]:
    """Length, height and width of a clip, checked."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.float32 or not len(frames):
        raise ValueError(f"frames must be float32 [T, H, W, 3] with T >= 1, not {frames.dtype} {list(frames.shape)}")
    count, height, width = frames.shape[:3]
    if height % 64 or width % 64:
        raise ValueError(f"the frames' sides must be multiples of 64, not {width}x{height}")
    if steps < 1 or decode_chunk < 1:
        raise ValueError(f"steps ({steps}) and the decoder's chunk ({decode_chunk}) must be 1 or more")
    return count, height, width
