"""DepthCrafter: temporally stable depth of long shots by video diffusion (Hu et al. 2024)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...contract.catalogue import Parameter, Preset, presets
from ...video_diffusion import parameters
from ...video_diffusion.parameters import network
from ...video_diffusion.weights import DEPTHCRAFTER, SVD
from ..base import Cost, EstimatorInfo, Shot, ShotResult

INFO = EstimatorInfo(
    name="depthcrafter",
    label="DepthCrafter",
    summary="Detailed, temporally stable relative depth of any shot by video diffusion, moving subjects included; "
    "for research and education only, and for a strong GPU.",
    licence="Weights: DepthCrafter's for academic, research and education use only; Stable Video Diffusion's under "
    "its community license",
    quantity="relative_disparity",
    default_size=1024,
    place=4,
    presets=presets(draft=Preset(size=512), fine=Preset(full_size=True)),
    cost=Cost(frame_seconds=0.5, start_seconds=60.0, memory=8.0, gpu_memory=11.0),
    preview_frames=12,
    packages=("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub"),
    models=(DEPTHCRAFTER, SVD),
    gpu="useful",
    scratch_files=("windows.safetensors",),
    parameters=(
        Parameter(
            name="steps",
            default=5,
            minimum=1,
            maximum=100,
            description="Denoising steps: 5 for the current weights; their first release was used with 25.",
        ),
        Parameter(
            name="guidance",
            default=1.0,
            minimum=1.0,
            maximum=10.0,
            advanced=True,
            description="Classifier-free guidance; above 1 it sharpens details (the first release used 1.2 with 25 "
            "steps) and doubles the time.",
        ),
        *parameters.WINDOWS,
        Parameter(
            name="anchor",
            default=True,
            advanced=True,
            description="Start each window's overlap from the previous window's result.",
        ),
        Parameter(
            name="stitch",
            default=True,
            advanced=True,
            description="Cross-fade windows over their overlap; off: the mean of both.",
        ),
        *parameters.NETWORK,
        *parameters.COMPUTING,
    ),
)


def info_for(parameters: dict[str, Any], *, has_mattes: bool = False) -> EstimatorInfo:
    """The facts of a run with these parameters; see `estimators.base`."""
    if not parameters["weights"]:
        return INFO
    model = network(parameters["weights"], estimator=INFO.name)
    own = f"Weights: {model.licence.title}; Stable Video Diffusion's under its community license"
    return replace(INFO, models=(model, SVD), licence=own)


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot; see `estimators.base`."""
    from .streaming import estimate_shot

    return estimate_shot(shot)
