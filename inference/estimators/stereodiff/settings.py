"""StereoDiff's parameters, the check for contradictions among them, and the facts of a run with them.

Also the facts of MonST3R's weights. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ...common.failures import Failure
from ...contract import depth_sequence, exit_codes
from ...contract.depth_sequence import DepthSequence
from ...contract.hints import setting
from ...models.facts import Licence, Model, ModelFile
from ...video_diffusion import parameters as shared
from ...video_diffusion.parameters import check_window, network
from ...video_diffusion.weights import DEPTHCRAFTER
from ..base import EstimatorInfo

REFINE_SIGMA = 2.269116
"""Noise level of the step: "t = 2 of T = 4" in the released scheduler's sigmas (700, 70.5, 2.27, 0.002)."""
MONST3R = Model(
    name="monst3r",
    label="MonST3R's network",
    repository="Junyi42/MonST3R_PO-TA-S-W_ViTLarge_BaseDecoder_512_dpt",
    revision="",  # no published project pins it, and it could not be looked up on the hub itself
    revision_checked=False,
    licence=Licence(
        name="cc-by-nc-sa-4.0",
        title="CC BY-NC-SA 4.0 (MonST3R)",
        summary="Free for non-commercial use with attribution; works derived from the weights must be shared under the "
        "same terms; the terms of the training data apply as well.",
        url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    ),
    files=(
        ModelFile(path="config.json", size=450),
        ModelFile(path="model.safetensors", size=2_284_700_000),
    ),
)
"""The pair network, fp32: DUSt3R's, fine-tuned for dynamic scenes."""


@dataclass(frozen=True, kw_only=True)
class Settings(shared.Settings):
    """The estimator's parameters, see ``INFO``: ``Settings(**shot.parameters)``.

    Attributes
    ----------
    stage : str
        Both stages, or stereo matching alone.
    stage1_from : str
        Folder of the depth sequence that replaces stage 1; empty for none.
    reach : int
        Stage 1: frames with which each frame is matched, the paper's n.
    robust : bool
        Stage 1: whether registrations are reweighted against outliers; the paper's are not.
    refine_sigma, spacing
        Stage 2: see `refinement.noise_level`.
    latent_sharing : bool
        Stage 2: whether windows share latents, as DepthCrafter's do (the paper's ablation, table 6).
    resize : str
        Stage 2: interpolation of stage 1's maps to the networks' size.
    range_quantile : float
        Stage 2: share of the farthest and of the nearest values that the value range leaves out.
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

    @property
    def matches(self) -> bool:
        """Whether stage 1 runs."""
        return not self.stage1_from

    @property
    def refines(self) -> bool:
        """Whether stage 2 runs."""
        return self.stage != "1"

    def check(self) -> None:
        """Check that no parameters contradict each other, which is a `Failure` (USAGE)."""
        if self.stage == "1" and self.stage1_from:
            raise Failure(
                exit_codes.USAGE,
                "Stage 1 has nothing to do when its depth comes from another depth sequence.",
                hint=f"Leave out either {setting('stage', 1)} or {setting('stage1_from')}.",
            )
        if self.spacing != "karras" and self.refine_sigma != REFINE_SIGMA:
            raise Failure(
                exit_codes.USAGE,
                f"The noise level of the step cannot be both {setting('refine_sigma', f'{self.refine_sigma:g}')} and "
                f"the one of {setting('spacing', self.spacing)}.",
                hint="Leave out one of the two.",
            )
        if self.refines:
            check_window(self.window, self.overlap)


def facts_for(info: EstimatorInfo, parameters: dict[str, Any]) -> EstimatorInfo:
    """The facts of a run with these parameters, all declared ones, from those of a run of both stages.

    Raises
    ------
    Failure
        USAGE: the parameters contradict each other.
    DepthSequenceError
        The folder that they name has no depth sequence.
    """
    settings = Settings(**parameters)
    settings.check()
    facts = info.chosen(parameters)
    if settings.weights and settings.refines:
        own = network(settings.weights, estimator=info.name)
        facts = replace(facts, models=tuple(own if model == DEPTHCRAFTER else model for model in facts.models))
    return _refining(facts, depth_sequence.load(settings.stage1_from)) if settings.stage1_from else facts


def _refining(info: EstimatorInfo, sequence: DepthSequence) -> EstimatorInfo:
    """The facts of refining another depth sequence: its quantity, and camera and confidence where it has them."""
    meaning = f"taken over from {sequence.estimator}: {sequence.confidence}" if sequence.confidence else None
    return replace(
        info,
        quantity=sequence.quantity,
        has_camera=all(shot.camera is not None and shot.camera.poses for shot in sequence.done_shots),
        has_confidence=sequence.confidence is not None,
        confidence_meaning=meaning,
    )
