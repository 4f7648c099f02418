"""What is minimized: the denoiser with its preconditioning, the loss and its weight, and the layers of a stage.

Karras et al. 2022 (EDM), table 1, with the data's deviation 1 and SVD's prediction of v; DepthCrafter, section 3.1:

    D(x; s) = c_skip x + c_out F(c_in x; c_noise)
    c_skip = 1 / (s^2 + 1),  c_out = -s / sqrt(s^2 + 1),  c_in = 1 / sqrt(s^2 + 1),  c_noise = 0.25 ln s
    loss = lambda |D(z + s e; s) - z|^2,  lambda = (s^2 + 1) / s^2

where z are the scaled latents of disparity, e is standard normal noise, and ln s is normal (`recipe`). The paper's
equation 1 writes s^2 e, which is the variance of the noise, not its factor. The weight lambda is 1 / c_out^2, so that
all noise levels count alike for F.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..video_diffusion import stages
from ..video_diffusion.execution import plain
from .examples import Example
from .recipe import Settings
from .sequences import step_generator

TEMPORAL = ("temporal_res_block", "temporal_transformer_blocks", "time_pos_embed", "time_mixer")
"""Parts of parameters' names in the layers that SVD added to its image network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """What is drawn for a sequence at its step.

    Attributes
    ----------
    sigma : float
        Noise level, one for all frames, as in an estimate.
    noise : Tensor [T, 4, h, w]
        Standard normal.
    is_unconditioned : bool
        Whether the network sees neither frames nor tokens.
    """

    sigma: float
    noise: Tensor
    is_unconditioned: bool


class Denoiser(nn.Module):
    """A UNet as a denoiser of one sequence; its parameters are the UNet's, under ``unet.``."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, noisy: Tensor, video: Tensor, tokens: Tensor, *, sigma: float, augmentation: float) -> Tensor:
        """Clean latents [T, 4, h, w], float32, of noisy ones; `video` and `tokens` are as `Example` has them."""
        size = (sigma**2 + 1) ** 0.5
        ids = torch.tensor([stages.FRAMES_PER_SECOND, stages.MOTION_BUCKET, augmentation], device=noisy.device)
        velocity = plain.forward(
            self.unet,
            noisy / size,
            video,
            tokens,
            added_ids=ids,
            timestep=torch.tensor(sigma, device=noisy.device).log() * 0.25,
        )
        return noisy / size**2 - velocity.float() * (sigma / size)


def drawn(settings: Settings, example: Example, number: int) -> Draw:
    """What is drawn for sequence `number`, the same on any device."""
    random = step_generator(settings, number)
    sigma = float(torch.tensor(random.normal(settings.noise_mean, settings.noise_deviation)).exp())
    noise = torch.from_numpy(random.standard_normal(tuple(example.depth.shape), dtype="float32"))
    return Draw(sigma=sigma, noise=noise, is_unconditioned=bool(random.uniform() < settings.condition_dropout))


def loss(denoiser: nn.Module, example: Example, draw: Draw, *, device: torch.device) -> Tensor:
    """The loss of one sequence: the weighted mean over its latents with known depth."""
    clean, noise = example.depth.to(device), draw.noise.to(device)
    video, tokens = example.video.to(device), example.tokens.to(device)
    if draw.is_unconditioned:  # as the second pass of an estimate with guidance has them
        video, tokens = torch.zeros_like(video), torch.zeros_like(tokens)
    denoised = denoiser(clean + draw.sigma * noise, video, tokens, sigma=draw.sigma, augmentation=example.augmentation)
    weight = (draw.sigma**2 + 1) / draw.sigma**2
    known = example.known.to(device)
    errors = (denoised - clean).square() * known
    return weight * errors.sum() / (known.sum() * clean.shape[1]).clamp(min=1)


def is_temporal(name: str) -> bool:
    """Whether a parameter of the UNet belongs to a temporal layer."""
    return any(part in name.split(".") for part in TEMPORAL)


def choose_layers(unet: nn.Module, trained: Literal["all", "temporal", "spatial"]) -> list[str]:
    """Let gradients flow to the layers of a stage alone, and return the names of their parameters."""
    names = []
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(trained == "all" or is_temporal(name) == (trained == "temporal"))
        names += [name] if parameter.requires_grad else []
    return names


def trained_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that gradients flow to."""
    return (parameter for parameter in module.parameters() if parameter.requires_grad)
