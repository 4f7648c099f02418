"""Stage 2: one denoising step makes a globally consistent depth sequence locally consistent as well (paper, 3.3).

Disparity is normalized to 0..1 by one value range for the whole shot, so that all windows share it. Overlapping windows
are cross-faded after decoding: the paper shares no latents between windows, which is worse at this noise level
(table 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ....video_diffusion.execution.forward import OWN, Forward
from ....video_diffusion.execution.plan import Plan
from ....video_diffusion.networks import Networks
from ....video_diffusion.stages import Attempt, Check, Encoded, added_ids
from ..settings import REFINE_SIGMA, Settings

_LATENTS, _PIXELS = 0, 1
"""Kinds of noise of a frame: on its depth's latents, and on its image."""


@dataclass(frozen=True)
class Step:
    """The preconditioning of one step at a noise level (Karras et al. 2022, table 1, with SVD's v-prediction).

    Attributes
    ----------
    c_in : float
        Factor of the noisy latents in the network's input.
    c_skip, c_out : float
        Clean latents are `c_skip` times the noisy ones minus `c_out` times the network's output.
    timestep : float
        The network's conditioning on the noise level, c_noise.
    """

    c_in: float
    c_skip: float
    c_out: float
    timestep: float

    @staticmethod
    def at(sigma: float) -> Step:
        """The step that starts at the noise level `sigma`, above 0."""
        size = math.sqrt(sigma**2 + 1)
        return Step(c_in=1 / size, c_skip=1 / size**2, c_out=sigma / size, timestep=0.25 * math.log(sigma))


def noise_level(scheduler: Any, settings: Settings) -> float:
    """The noise level that the step starts from.

    With Karras' noise levels, which the released weights use, the spacing of time steps changes nothing. Without them,
    the level is the scheduler's own sigma at t = 2 of T = 4: 0.698 (leading) or 1.613 (trailing).
    """
    if settings.spacing == "karras":
        return settings.refine_sigma
    plain = scheduler.from_config(scheduler.config, use_karras_sigmas=False, timestep_spacing=settings.spacing)
    plain.set_timesteps(4)
    return float(plain.sigmas[2])


def frame_noise(seed: int, frame: int, height: int, width: int) -> Tensor:
    """Standard normal noise [4, height / 8, width / 8] for one frame's depth, by its source number.

    It is the same in all windows of the frame.
    """
    return torch.randn(4, height // 8, width // 8, generator=_generator(seed, frame, _LATENTS))


def pixel_noise(seed: int, frame: int, height: int, width: int) -> Tensor:
    """Standard normal noise [3, height, width] for one frame's image, likewise."""
    return torch.randn(3, height, width, generator=_generator(seed, frame, _PIXELS))


def _generator(*key: int) -> torch.Generator:
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def stretched(disparity: Tensor, low: float, high: float) -> Tensor:
    """Disparity normalized by the shot's value range: `low` becomes 0, `high` 1, clamped; a flat shot is 0.5."""
    if not high > low:
        return torch.full_like(disparity, 0.5)
    return ((disparity - low) / (high - low)).clamp(0, 1)


def unstretched(disparity: Tensor, low: float, high: float) -> Tensor:
    """The inverse of `stretched`: back to the units of stage 1."""
    return disparity * (high - low) + low if high > low else torch.full_like(disparity, low)


@torch.inference_mode()
def encode_prior(
    networks: Networks,
    disparity: Tensor,
    size: tuple[int, int],
    *,
    resize: Literal["nearest", "bilinear"],
    device: torch.device,
    attempt: Attempt,
    check: Check = lambda: None,
    forward: Forward = OWN,
) -> Tensor:
    """Latents [n, 4, height / 8, width / 8], scaled, of disparity maps [n, h, w], 0 to 1, as in the network's training.

    `size` is the width and height of the networks' images; the paper resizes to it by nearest neighbors.
    """
    width, height = size
    options = {} if resize == "nearest" else {"align_corners": False}
    fitted = functional.interpolate(disparity[:, None].to(device), (height, width), mode=resize, **options)
    images = (2 * fitted - 1).expand(-1, 3, -1, -1)

    def work(plan: Plan) -> Tensor:
        return forward.encode(networks.vae, images, plan=plan, check=check) * networks.vae.config.scaling_factor

    return attempt(work).contiguous()


@torch.inference_mode()
def refine(
    networks: Networks,
    prior: Tensor,
    conditions: Encoded,
    noise: Tensor,
    *,
    sigma: float = REFINE_SIGMA,
    noise_augmentation: float,
    device: torch.device,
    attempt: Attempt,
    check: Check = lambda: None,
    forward: Forward = OWN,
) -> Tensor:
    """One step from noisy latents of a window straight to clean ones [n, 4, h, w], on the device.

    Parameters
    ----------
    prior : Tensor [n, 4, h, w]
        See `encode_prior`.
    conditions : Encoded
        Of the same frames.
    noise : Tensor [n, 4, h, w]
        See `frame_noise`.
    sigma : float
        Noise level: higher changes more of the depth. 0.7 to 3 is useful.
    noise_augmentation : float
        Strength of the noise that the frames were encoded with.
    """
    step = Step.at(sigma)
    noisy = prior.to(device) + sigma * noise.to(device)
    added = added_ids(networks, noise_augmentation, device)

    def work(plan: Plan) -> Tensor:
        return forward.predict(
            networks.unet,
            step.c_in * noisy,
            conditions.latents.to(device),
            conditions.embeddings.to(device),
            added_ids=added,
            timestep=torch.tensor(step.timestep),
            plan=plan,
            check=check,
        ).float()

    velocity = attempt(work)  # first, while nothing else is on the device
    return (step.c_skip * noisy - step.c_out * velocity).contiguous()
