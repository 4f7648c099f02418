"""The estimator's parameters as they travel, and what of them contradicts itself. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ... import exit_codes
from ...faults import Failure

REFINE_SIGMA = 2.269116
"""Noise level of the step: "t = 2 of T = 4" in the released scheduler's sigmas (700, 70.5, 2.27, 0.002)."""

_STEPS, _TRAINED = 4, 1000
_BETA_FIRST, _BETA_LAST = 0.00085, 0.012


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The estimator's parameters, see ``INFO``: ``Settings(**shot.parameters)``.

    Attributes
    ----------
    stage : str
        Both stages, or stereo matching alone.
    stage1_from : str
        Folder with the depth sequence that takes the place of stage 1; empty for none.
    reach : int
        Stage 1: frames with which each frame is matched, the paper's n.
    robust : bool
        Stage 1: whether registrations are weighted anew so that outliers fall silent; the paper does not.
    refine_sigma, spacing
        Stage 2: see `noise_level`.
    latent_sharing : bool
        Stage 2: whether windows share latents, as DepthCrafter's do (the paper's ablation, table 6).
    resize : str
        Stage 2: how stage 1's maps are brought to the networks' size.
    range_quantile : float
        Stage 2: share of the darkest and of the brightest values that the range 0..1 leaves out.
    window, overlap, noise_augmentation, decode_chunk, device, precision, memory_limit, compile
        As DepthCrafter's.
    """

    stage: Literal["both", "1"]
    stage1_from: str
    reach: int
    robust: bool
    refine_sigma: float
    spacing: Literal["karras", "leading", "trailing"]
    latent_sharing: bool
    resize: Literal["nearest", "bilinear"]
    range_quantile: float
    window: int
    overlap: int
    noise_augmentation: float
    decode_chunk: int
    device: str
    precision: str
    memory_limit: float
    compile: bool

    @property
    def matches(self) -> bool:
        """Whether stage 1 runs."""
        return not self.stage1_from

    @property
    def refines(self) -> bool:
        """Whether stage 2 runs."""
        return self.stage != "1"

    @property
    def noise_level(self) -> float:
        """The noise level at which the one step starts."""
        return self.refine_sigma if self.spacing == "karras" else spaced_sigma(self.spacing)

    def check(self) -> None:
        """Refuse parameters that contradict each other.

        Raises
        ------
        Failure
            USAGE.
        """
        if self.stage == "1" and self.stage1_from:
            raise Failure(
                exit_codes.USAGE,
                "Stage 1 alone has nothing to do where its depth is taken from another depth sequence.",
                cure="Leave out either stage=1 or stage1_from.",
            )
        if self.spacing != "karras" and self.refine_sigma != REFINE_SIGMA:
            raise Failure(
                exit_codes.USAGE,
                f"The noise level of the step cannot be both refine_sigma={self.refine_sigma:g} and the one of "
                f"spacing={self.spacing}.",
                cure="Leave out either of the two.",
            )


def spaced_sigma(spacing: Literal["leading", "trailing"]) -> float:
    """The noise level at t = 2 of T = 4 where the scheduler does without Karras' levels.

    SVD's 1000 training steps have the noise variances of a scaled-linear schedule (Ho et al. 2020, section 2, for
    how they add up). Four of them are taken: counted from the first, and then one further (*leading*: 751, 501, 251,
    1), or from the last backwards (*trailing*: 999, 749, 499, 249; Lin et al. 2024, table 2).

    Parameters
    ----------
    spacing : 'leading' or 'trailing'

    Returns
    -------
    float
        0.698 or 1.613.
    """
    stride = _TRAINED // _STEPS
    chosen = stride + 1 if spacing == "leading" else 2 * stride - 1
    first, last = math.sqrt(_BETA_FIRST), math.sqrt(_BETA_LAST)
    kept = math.prod(1 - (first + (last - first) * t / (_TRAINED - 1)) ** 2 for t in range(chosen + 1))
    return math.sqrt((1 - kept) / kept)
