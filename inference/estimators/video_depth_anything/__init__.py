"""Video Depth Anything: depth of any shot by a small network that sees 32 frames at once (Chen et al. 2025)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...contract.catalogue import Parameter, Preset, presets
from ...video_diffusion import parameters as shared
from ..base import Cost, EstimatorInfo, Phase, Shot, ShotResult, Variant
from .weights import METRIC, SMALL

INFO = EstimatorInfo(
    name="video_depth_anything",
    label="Video Depth Anything",
    summary="Temporally stable relative depth of any shot by a small network, locked cameras and moving subjects "
    "included; for any use, fast on a GPU and usable without one.",
    licence="GPL-3.0-or-later; weights: Apache License 2.0",
    quantity="relative_disparity",
    default_size=924,
    place=2,
    presets=presets(
        draft=Preset(size=518, parameters={"input_size": 196}),
        fine=Preset(full_size=True, parameters={"input_size": 518}),
    ),
    cost=Cost(frame_seconds=0.7, start_seconds=4.0, memory=1.5, gpu_memory=2.5),
    preview_frames=32,
    packages=("torch", "safetensors"),
    models=(SMALL,),
    gpu="useful",
    scratch_files=("window.######.npy", "anchor.npy"),
    variants=(Variant(parameter="metric", value=True, models=(METRIC,)),),
    parameters=(
        Parameter(
            name="metric",
            default=False,
            description="Use the weights that estimate depth in meters: inverse depth at true scale, which suits rooms "
            "and streets.",
        ),
        Parameter(
            name="joining",
            default="whole_clip",
            choices=("whole_clip", "published"),
            advanced=True,
            description="How windows of frames are brought to one scale: all together, over every frame that they "
            "share; or each to the one before, as published, which drifts on long takes.",
        ),
        Parameter(
            name="input_size",
            default=0,
            minimum=0,
            maximum=1036,
            advanced=True,
            description="Shorter side of the images that the network sees, in pixels: more is finer, slower and takes "
            "more memory. 0: up to 518 on a GPU, for which it was trained, and 294 on a CPU.",
        ),
        *shared.COMPUTING,
    ),
)


def info_for(parameters: dict[str, Any], *, has_mattes: bool = False) -> EstimatorInfo:
    """The facts of a run with these parameters; see `estimators.base`."""
    facts = INFO.chosen(parameters)
    return replace(facts, quantity="inverse_depth", unit="metres") if parameters["metric"] else facts


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot; see `estimators.base`."""
    from .streaming import estimate_shot

    return estimate_shot(shot)


def phases(shot: Shot) -> tuple[Phase, ...]:
    """Windows, which are independent of each other, the anchor among them; see `estimators.base`."""
    from .streaming import windows_of

    return (windows_of(shot),)
