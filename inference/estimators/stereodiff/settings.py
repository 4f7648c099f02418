"""The estimator's parameters as they travel, and what of them contradicts itself. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ... import exit_codes
from ...faults import Failure
from ...hints import setting
from ..depthcrafter.parameters import check_window

REFINE_SIGMA = 2.269116
"""Noise level of the step: "t = 2 of T = 4" in the released scheduler's sigmas (700, 70.5, 2.27, 0.002)."""


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
        Stage 2: see `refinement.noise_level`.
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
                cure=f"Leave out either {setting('stage', 1)} or {setting('stage1_from')}.",
            )
        if self.spacing != "karras" and self.refine_sigma != REFINE_SIGMA:
            raise Failure(
                exit_codes.USAGE,
                f"The noise level of the step cannot be both {setting('refine_sigma', f'{self.refine_sigma:g}')} and "
                f"the one of {setting('spacing', self.spacing)}.",
                cure="Leave out either of the two.",
            )
        if self.refines:
            check_window(self.window, self.overlap)
