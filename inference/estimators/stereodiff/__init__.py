"""StereoDiff: stereo matching for static regions, one diffusion step for dynamic objects (Li et al. 2025)."""

from __future__ import annotations

from typing import Any

from ...contract.catalogue import Parameter, Preset, presets
from ...video_diffusion import parameters as shared
from ...video_diffusion.weights import DEPTHCRAFTER, SVD
from ..base import Cost, EstimatorInfo, Phase, Shot, ShotResult, Variant
from .settings import MONST3R, REFINE_SIGMA

INFO = EstimatorInfo(
    name="stereodiff",
    label="StereoDiff",
    summary="Temporally stable depth and camera for long shots: stereo matching for static regions, one diffusion step "
    "for dynamic objects; for research and education only, and for a strong GPU.",
    licence="Weights: MonST3R's for non-commercial use (CC BY-NC-SA 4.0); DepthCrafter's for academic, research and "
    "education use only; Stable Video Diffusion's under its community license",
    quantity="inverse_depth",
    default_size=1024,
    place=5,
    presets=presets(draft=Preset(parameters={"stage": "1"}), fine=Preset(full_size=True, parameters={"reach": 4})),
    cost=Cost(frame_seconds=1.0, start_seconds=60.0, memory=8.0, gpu_memory=11.0),
    preview_frames=12,
    packages=("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "roma"),
    models=(MONST3R, DEPTHCRAFTER, SVD),
    gpu="useful",
    scratch_files=(
        *("windows.safetensors", "refined/######.npy", "stage1/scored/######.json"),
        *(f"stage1/{name}" for name in ("alignment.npz", "frames.json")),
        *(f"stage1/pairs/{name}" for name in ("scores.jsonl", "######-######-######.npy")),
    ),
    has_camera=True,
    has_confidence=True,
    confidence_meaning="1 - 1/C of stereo matching, with C the confidence (1 or more) that MonST3R's network has in "
    "the points that the depth is read from; 0 where there were none and the depth is that of neighboring pixels",
    variants=(
        # the pair network works at 512 pixels: larger maps of it alone gain nothing
        Variant(parameter="stage", value="1", models=(MONST3R,), default_size=512),
        Variant(parameter="stage1_from", models=(DEPTHCRAFTER, SVD)),
    ),
    parameters=(
        Parameter(
            name="stage",
            default="both",
            choices=("both", "1"),
            description="Stages to run: stereo matching and its refinement by diffusion, or stereo matching alone.",
        ),
        Parameter(
            name="stage1_from",
            default="",
            depth_sequence=True,
            description="Folder of another depth sequence of the same frames, which is refined instead of stereo "
            "matching's result.",
        ),
        Parameter(
            name="reach",
            default=2,
            minimum=1,
            maximum=10,
            description="Following frames that each frame is matched with; more takes longer and drifts less.",
        ),
        Parameter(
            name="robust",
            default=True,
            advanced=True,
            description="Reduce the weight of points that do not fit when frames are aligned; off: as published.",
        ),
        Parameter(
            name="refine_sigma",
            default=REFINE_SIGMA,
            minimum=0.05,
            maximum=700.0,
            advanced=True,
            description="Noise level of the one diffusion step: higher changes more of the depth; 0.7 to 3 is useful.",
        ),
        Parameter(
            name="spacing",
            default="karras",
            choices=("karras", "leading", "trailing"),
            advanced=True,
            description="Scheduler that the noise level comes from; leading and trailing (0.698 and 1.613) are for "
            "comparisons and replace refine_sigma.",
        ),
        Parameter(
            name="latent_sharing",
            default=False,
            advanced=True,
            description="Share latents between windows as DepthCrafter does; for comparisons, since results are worse.",
        ),
        Parameter(
            name="resize",
            default="nearest",
            choices=("nearest", "bilinear"),
            advanced=True,
            description="Interpolation of stereo matching's depth to the diffusion's size; nearest is as published.",
        ),
        Parameter(
            name="range_quantile",
            default=0.01,
            minimum=0.0,
            maximum=0.25,
            advanced=True,
            description="Share of the nearest and farthest values that the shot's value range leaves out; 0: none.",
        ),
        *shared.WINDOWS,
        *shared.NETWORK,
        *shared.COMPUTING,
    ),
)


def info_for(parameters: dict[str, Any], *, has_mattes: bool = False) -> EstimatorInfo:
    """The facts of a run with these parameters; see `estimators.base`."""
    from .settings import facts_for

    return facts_for(INFO, parameters)


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot; see `estimators.base`."""
    from .estimating import estimate_shot

    return estimate_shot(shot)


def phases(shot: Shot) -> tuple[Phase, ...]:
    """Pairs of frames, their alignment, and windows of the second stage; see `estimators.base`."""
    from .estimating import phases as found

    return found(shot)
